// What the encoders that round by a guide share: a slab cut into tiles of rows, encoded in
// parallel, and the sums of what was lost.
//
// Thread rule: pure; parallel inside, results do not depend on threads.
#pragma once

#include <functional>
#include <vector>

#include "codecs/encoders/tensor_encoder.h"
#include "codecs/planes/transform.h"
#include "codecs/rounding/compensate.h"

namespace ingot::codecs {

// Damping of these encoders, of the mean diagonal; where rotated, more (docs/codecs.md, 12).
inline constexpr double kGuidedDamping = 0.01, kRotatedDamping = 0.1;

// The compensation of a guide, in the space that `rotation` turns inputs into where it is not null.
// InvalidArgument as of Compensation::Make.
Result<std::shared_ptr<const Compensation>> RotatedCompensation(const TensorGuide& guide,
                                                                const InputTransform* rotation,
                                                                const CompensationOptions& options);

struct RowLoss {
  double squared_error = 0, squared_weight = 0;
  double loss = 0;  // dW H dWᵀ of the row
};

// Rows [first, first + rows) of a slab, rows <= kTileRows.
struct SlabTile {
  std::uint64_t first = 0, rows = 0;
  std::vector<float> x;       // rows x cols, finite
  RowLoss* losses = nullptr;  // of the tile's rows: squared_error and loss are to be filled in
};

// InvalidArgument unless the statistics are of a matrix of this width.
Status CheckGuideWidth(const TensorGuide& guide, std::uint64_t cols);

// Reads and checks every tile's rows, calls encode(tile), and adds up into `out`. The first failing
// tile's Status, else OK.
Status EncodeTiles(const WeightSlab& slab, std::uint64_t row_begin,
                   const Compensation& compensation,
                   const std::function<Status(SlabTile& tile)>& encode, EncodedSlab& out);

// The losses of the tile's rows as `rounded` has them.
void FillLosses(const CompensatedTile& rounded, SlabTile& tile);

inline constexpr float kLargestFp16 = 65504.0f;

// At most `count` columns whose weights an f16 outlier helps most: those of the greatest w² times
// what an error costs there (fp8's error is a share of the weight, an int grid widens or clips for
// it). Ascending; none that f16 would store as 0 or cannot hold. REQUIRES: count <= cols.
std::vector<std::uint32_t> CostliestColumns(const float* row, const Compensation& compensation,
                                            std::size_t count);

}  // namespace ingot::codecs
