// One int plane over a tile of rows: grids fitted a lane and group, codes chosen column by column
// as the compensation asks for them, and both refitted.
//
// Thread rule: belongs to one thread.
#pragma once

#include <vector>

#include "codecs/planes/int_plane.h"
#include "codecs/rounding/compensate.h"
#include "codecs/rounding/exact_encode.h"
#include "codecs/rounding/int_tile_kernels.h"

namespace ingot::codecs {

class IntTile : public ColumnRounder {
 public:
  // REQUIRES: levels are not log; both outlive the tile.
  IntTile(const IntLayout& layout, const Compensation& compensation, Isa isa);
  static std::uint64_t Bytes(const IntLayout& layout);

  // Grids for these values (by position, kTileRows lanes), by clip search. The first of `rows`
  // lanes with a scale above what fp16 holds is named, counted from `first_row`: InvalidArgument.
  Status Fit(const float* values, std::uint64_t rows, std::uint64_t first_row);
  // The same, with scales cut to what fp16 holds.
  void FitTo(const float* values);
  // The best grids for the codes as they are, if these are the values.
  void Refit(const float* values);
  // Scales multiplied a lane and group by 1 + change[group * kTileRows + lane].
  void Stretch(const float* changes);

  // ColumnRounder: nearest codes.
  void Round(std::uint32_t column, const float* targets, float* values) override;
  // Values of the codes as they are, by position.
  void Values(float* out) const;

  // What `from`, a tile of the same plane, has for the lanes where take[l] is set.
  void TakeLanes(const IntTile& from, const bool* take);
  // Rows [row_begin, row_begin + rows) of the streams.
  void Store(std::uint64_t row_begin, std::uint64_t rows, Streams& streams) const;

  std::uint64_t group_of(std::uint32_t column) const { return column / layout_.group; }
  const IntLayout& layout() const { return layout_; }

 private:
  GroupColumns Columns(std::uint64_t g, const float* values) const;
  // Rounds fits to what the plane stores; the largest scale of a lane comes first for q8.
  void SetGrids();

  const IntLayout& layout_;
  const Compensation& compensation_;
  const IntTileKernels& kernels_;
  float levels_[256];
  std::vector<GridFit> fits_;                      // by group
  std::vector<std::uint16_t> row_scales_;          // q8, by lane
  std::vector<std::uint16_t> scale_codes_;         // f16 or i8, by group and lane
  std::vector<std::uint8_t> zero_codes_;           // by group and lane
  AlignedArray<float> scales_, inverses_, zeros_;  // by group and lane
  AlignedArray<std::uint8_t> codes_;               // by position and lane
};

}  // namespace ingot::codecs
