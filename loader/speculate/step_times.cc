#include "loader/speculate/step_times.h"

#include <algorithm>

namespace ingot::loader {
namespace {

constexpr double kForget = 0.97;
// The prior slope counts as measurements that spread this much: sum of (rows - mean)^2.
constexpr double kPriorSpread = 2;
// A step that took longer than so many times what was expected met something else on the machine.
constexpr double kOutlier = 2;

}  // namespace

void StepTimes::Add(double rows, double seconds) {
  if (known()) seconds = std::min(seconds, kOutlier * Seconds(rows));
  for (double* sum : {&weight_, &rows_, &rows_rows_, &seconds_, &rows_seconds_}) *sum *= kForget;
  weight_ += 1;
  rows_ += rows;
  rows_rows_ += rows * rows;
  seconds_ += seconds;
  rows_seconds_ += rows * seconds;
}

// Ridge regression towards the prior slope.
double StepTimes::row_seconds() const {
  if (!known()) return prior_slope_;
  const double spread = rows_rows_ - rows_ * rows_ / weight_;
  const double joint = rows_seconds_ - rows_ * seconds_ / weight_;
  // One row of a step never costs more than the mean step does.
  const double prior = std::min(prior_slope_, seconds_ / weight_);
  return std::max(0.0, (joint + kPriorSpread * prior) / (spread + kPriorSpread));
}

double StepTimes::Seconds(double rows) const {
  const double mean = seconds_ / weight_;
  // No number of rows is faster than a part of the mean: a line is no law.
  return std::max(mean + row_seconds() * (rows - rows_ / weight_), 0.1 * mean);
}

}  // namespace ingot::loader
