#include "codecs/encoders/guided_slab.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/encoders/slab_rows.h"
#include "codecs/rounding/int_fit.h"

namespace ingot::codecs {
namespace {

// The rotated statistics live only while they are factored.
Result<std::shared_ptr<const HessianFactors>> FactorRotated(const TensorGuide& guide,
                                                            const InputTransform& rotation,
                                                            const CompensationOptions& options) {
  TensorGuide rotated = guide;
  std::vector<float> hessian(guide.hessian.begin(), guide.hessian.end()), diagonal;
  if (hessian.empty() && !guide.diagonal.empty()) {
    // A rotation spreads a diagonal evenly.
    double sum = 0;
    for (const float d : guide.diagonal) sum += d;
    diagonal.assign(guide.cols, static_cast<float>(sum / static_cast<double>(guide.cols)));
  }
  if (!hessian.empty()) TransformHessian(rotation, hessian.data());
  rotated.hessian = hessian;
  rotated.diagonal = diagonal;
  return HessianFactors::Make(rotated, options, BestIsa());
}

}  // namespace

Result<std::shared_ptr<const Compensation>> RotatedCompensation(
    const TensorGuide& guide, const InputTransform* rotation, const CompensationOptions& options) {
  if (rotation == nullptr) return Compensation::Make(guide, options);
  INGOT_TRY(CheckGuide(guide));
  // Every rotation of a width is the same one.
  INGOT_ASSIGN(auto factors, FactorsOf(guide, "rotated", options,
                                       [&] { return FactorRotated(guide, *rotation, options); }));
  return std::make_shared<const Compensation>(std::move(factors), guide.row_fisher);
}

Status CheckGuideWidth(const TensorGuide& guide, std::uint64_t cols) {
  if (guide.cols == cols) return OkStatus();
  return InvalidArgument("statistics of " + std::to_string(guide.cols) +
                         " columns for a matrix of " + std::to_string(cols));
}

Status EncodeTiles(const WeightSlab& slab, std::uint64_t row_begin,
                   const Compensation& compensation,
                   const std::function<Status(SlabTile& tile)>& encode, EncodedSlab& out) {
  const std::size_t tiles = CeilDiv(slab.rows, kTileRows);
  const IntFitKernels& kernels = kIntFit.Best();
  std::vector<RowLoss> losses(slab.rows);
  std::vector<Status> status(tiles);
  const auto encode_tile = [&](std::size_t t) -> Status {
    SlabTile tile;
    tile.first = t * kTileRows;
    tile.rows = std::min<std::uint64_t>(kTileRows, slab.rows - tile.first);
    tile.losses = losses.data() + tile.first;
    tile.x.resize(tile.rows * slab.cols);
    for (std::uint64_t l = 0; l < tile.rows; ++l) {
      float* row = tile.x.data() + l * slab.cols;
      INGOT_TRY(FiniteRow(slab, tile.first + l, row));
      tile.losses[l].squared_weight = kernels.sum_squares(row, slab.cols);
    }
    return encode(tile);
  };
  ParallelFor(tiles, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) status[t] = encode_tile(t);
  });
  for (Status& s : status) INGOT_TRY(std::move(s));
  for (std::uint64_t r = 0; r < slab.rows; ++r) {
    out.squared_weight += losses[r].squared_weight;
    out.squared_error += losses[r].squared_error;
    out.predicted_loss += 0.5 * compensation.row_fisher(row_begin + r) * losses[r].loss;
  }
  return OkStatus();
}

void FillLosses(const CompensatedTile& rounded, SlabTile& tile) {
  for (std::uint64_t l = 0; l < tile.rows; ++l) {
    tile.losses[l].squared_error = rounded.SquaredError(l);
    tile.losses[l].loss = rounded.Loss(l);
  }
}

std::vector<std::uint32_t> CostliestColumns(const float* row, const Compensation& compensation,
                                            std::size_t count) {
  const std::uint64_t cols = compensation.cols();
  std::vector<float> cost(cols);
  for (std::uint64_t j = 0; j < cols; ++j) {
    const bool fits = std::fabs(row[j]) <= kLargestFp16 && (ToFp16(row[j]) & 0x7fffu) != 0;
    cost[j] = fits ? row[j] * row[j] * compensation.weights()[compensation.ranks()[j]] : -1.0f;
  }
  std::vector<std::uint32_t> columns(cols);
  std::iota(columns.begin(), columns.end(), 0u);
  std::partial_sort(columns.begin(), columns.begin() + static_cast<std::ptrdiff_t>(count),
                    columns.end(), [&](std::uint32_t a, std::uint32_t b) {
                      return cost[a] != cost[b] ? cost[a] > cost[b] : a < b;
                    });
  columns.resize(count);
  std::erase_if(columns, [&](std::uint32_t j) { return cost[j] < 0; });
  std::sort(columns.begin(), columns.end());
  return columns;
}

}  // namespace ingot::codecs
