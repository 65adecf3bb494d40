// One vq plane over a tile of rows: whole vectors are chosen as compensation comes to their first
// column, with what each choice does to the vector's later columns (codebook.h).
//
// Thread rule: belongs to one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "codecs/planes/vq_plane.h"
#include "codecs/rounding/codebook.h"
#include "codecs/rounding/compensate.h"
#include "codecs/rounding/exact_encode.h"

namespace ingot::codecs {

class VqTile : public ColumnRounder {
 public:
  // All are borrowed; `tile` is the one that it rounds. `codebook`: FitCodebook's.
  // REQUIRES: layout.group is a multiple of layout.dimension.
  VqTile(const VqLayout& layout, std::span<const VectorMetric> metrics,
         std::span<const float> codebook, const Compensation& compensation,
         const CompensatedTile& tile);
  static std::uint64_t Bytes(const VqLayout& layout);

  // Scales of the root mean square of each group's weights, in f16. InvalidArgument where f16 holds
  // no such scale (the row is counted from `first_row`); what a coarser plane leaves (`refines`)
  // may be too small.
  Status FitScales(std::uint64_t rows, std::uint64_t first_row, bool refines);
  // `from`'s scales, improved by least squares for the words and targets that it met.
  void RefitScales(const VqTile& from);

  // ColumnRounder.
  void Round(std::uint32_t column, const float* targets, float* values) override;

  // What `from`, of the same plane, has for the lanes where take[l] is set.
  void TakeLanes(const VqTile& from, const bool* take);
  // Rows [first, first + rows) of the streams.
  void Store(std::uint64_t first, std::uint64_t rows, Streams& streams) const;
  // The tile as a sample of a codebook's vectors: what words would have been judged by, as the tile
  // was rounded, or its weights before (`rounded` false). `fisher`: kTileRows values; lanes past
  // the tile's rows weigh nothing.
  void Sample(bool rounded, const float* fisher, float* targets, float* weights) const;

 private:
  void Choose(std::uint64_t vector);
  void SetScale(std::uint64_t at, float scale);

  const VqLayout& layout_;
  std::span<const VectorMetric> metrics_;
  std::span<const float> codebook_;
  const Compensation& compensation_;
  const CompensatedTile& tile_;
  WordTable table_;
  std::vector<std::uint16_t> scale_codes_;  // by group and lane
  AlignedArray<float> scales_, inverses_;   // by group and lane
  std::vector<std::uint16_t> indices_;      // by vector and lane
  AlignedArray<float> values_;              // of the vector under way, by column and lane
};

}  // namespace ingot::codecs
