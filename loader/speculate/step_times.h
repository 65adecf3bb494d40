// How long a step of so many rows takes here: a line fitted to what was measured lately, so that
// numbers of rows never tried have a time, too.
//
// Thread rule: belongs to one thread.
#pragma once

namespace ingot::loader {

class StepTimes {
 public:
  // `row_seconds`: what a further row costs as far as is known (a prompt's time by its tokens), or 0.
  explicit StepTimes(double row_seconds) : prior_slope_(row_seconds) {}

  void Add(double rows, double seconds);
  bool known() const { return weight_ > 0; }
  // REQUIRES: known().
  double Seconds(double rows) const;
  double row_seconds() const;

 private:
  double prior_slope_;
  // Sums over measurements, older ones weighing less.
  double weight_ = 0, rows_ = 0, rows_rows_ = 0, seconds_ = 0, rows_seconds_ = 0;
};

}  // namespace ingot::loader
