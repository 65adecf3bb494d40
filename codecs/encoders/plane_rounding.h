// One int plane over one tile of rows, from grids to streams: rounded with compensation, then
// improved for as long as a row's loss falls.
//
// Thread rule: belongs to one thread.
#pragma once

#include "codecs/encoders/guided_int.h"
#include "codecs/rounding/compensate.h"
#include "codecs/rounding/int_tile.h"

namespace ingot::codecs {

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
