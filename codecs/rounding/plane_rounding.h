// One int plane over one tile of rows, from grids to streams: rounded with compensation, then
// improved for as long as a row's loss falls.
//
// Thread rule: belongs to one thread.
#pragma once

#include "codecs/rounding/compensate.h"
#include "codecs/rounding/exact_encode.h"
#include "codecs/rounding/int_tile.h"

namespace ingot::codecs {

// How long a plane's grids and codes are improved after the first rounding. Rows keep what lowers
// their loss.
struct RoundingEffort {
  int rounds = 1;    // rounding again, with grids for the targets that the last round met
  int turns = 0;     // of the two below, one after the other
  int descents = 2;  // a turn: sweeps of coordinate descent over the codes
  int refits = 0;    // a turn: scales by least squares under the whole Hessian, codes as they are
};

class PlaneRounding {
 public:
  // REQUIRES: the compensation outlives it.
  PlaneRounding(const Compensation& compensation, RoundingEffort effort);

  // Encodes `rows` (at most kTileRows) rows of `x` into rows [first, first + rows) of the streams.
  // InvalidArgument where a row needs a scale above what fp16 holds; it is named by its number in
  // the streams.
  Status Encode(const IntLayout& layout, const float* x, std::uint64_t rows, std::uint64_t first,
                Streams& streams);
  // What the last plane left, and cost.
  const CompensatedTile& tile() const { return best_; }

 private:
  // Takes the trial's rows that cost less. Returns how many.
  int Keep(const IntTile& trial_int, IntTile& best_int);
  void Refit(IntTile& best_int, IntTile& trial_int);
  void Descend(IntTile& best_int);
  void Step(const IntTile& plane, const float* gradient, float* changes, float* slopes) const;

  const Compensation& compensation_;
  RoundingEffort effort_;
  CompensatedTile best_, trial_;
  AlignedArray<float> lanes_;
};

}  // namespace ingot::codecs
