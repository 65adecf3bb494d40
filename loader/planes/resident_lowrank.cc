// `lowrank` planes, and any other whose rows share a product (codecs::SharedProduct): y += U (V x),
// V x once a token.
#include <algorithm>
#include <utility>

#include "codecs/planes/lowrank_plane.h"
#include "loader/kernels/kernel_registry.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

// Rows of U decoded at a time.
constexpr std::size_t kCoefficientRows = 64;

struct PreparedLowRank : PreparedPlane {
  std::size_t rank = 0;
  AlignedBuffer<float> factor;  // V, rank x DotStride(cols), padded with zeros
};

const PreparedLowRank& Of(const PreparedPlane& plane) {
  return static_cast<const PreparedLowRank&>(plane);
}

Result<std::unique_ptr<PreparedPlane>> Prepare(const codecs::PlaneView& view) {
  INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::KindOf(view));
  auto plane = std::make_unique<PreparedLowRank>();
  plane->rank = kind->shared->rank(view);
  const std::size_t stride = DotStride(view.cols);
  plane->factor = AlignedBuffer<float>(plane->rank * stride);
  std::ranges::fill(plane->factor, 0.0f);
  for (std::size_t k = 0; k < plane->rank; ++k)
    kind->shared->factor_rows(view, k, k + 1, plane->factor.data() + k * stride);
  plane->own_product = true;
  plane->needs.packed = true;
  plane->needs.shared = DotStride(plane->rank);
  plane->scratch_floats = kCoefficientRows * (DotStride(plane->rank) + plane->rank);
  return std::unique_ptr<PreparedPlane>(std::move(plane));
}

void Inputs(const PreparedPlane& plane, const float* packed, float* shared) {
  const PreparedLowRank& own = Of(plane);
  const std::size_t stride = DotStride(plane.view->cols);
  std::fill_n(shared, DotStride(own.rank), 0.0f);
  kPanelDot.Best()({.w = own.factor.data(),
                    .w_stride = stride,
                    .rows = own.rank,
                    .x = packed,
                    .x_stride = stride,
                    .tokens = 1,
                    .padded_cols = stride - kDotLanes,
                    .y = shared,
                    .y_stride = own.rank});
}

void Matvec(const PreparedPlane& plane, const PlaneProduct& product) {
  const std::size_t rank = Of(plane).rank, stride = DotStride(rank);
  for (std::size_t begin = 0; begin < product.rows; begin += kCoefficientRows) {
    const std::size_t count = std::min(kCoefficientRows, product.rows - begin);
    const std::uint64_t row = product.row_begin + begin;
    float* compact = product.scratch + kCoefficientRows * stride;
    plane.kind->shared->coefficient_rows(*plane.view, row, row + count, compact);
    for (std::size_t r = 0; r < count; ++r) {
      float* padded = std::copy_n(compact + r * rank, rank, product.scratch + r * stride);
      std::fill(padded, product.scratch + (r + 1) * stride, 0.0f);
    }
    kPanelDot.Best()({.w = product.scratch,
                      .w_stride = stride,
                      .rows = count,
                      .x = product.shared,
                      .x_stride = stride,
                      .tokens = product.tokens,
                      .padded_cols = stride - kDotLanes,
                      .y = product.y + begin,
                      .y_stride = product.y_stride});
  }
}

// With V as it is decoded already.
void DecodeRow(const PreparedPlane& plane, const RowSum& sum) {
  const PreparedLowRank& own = Of(plane);
  const std::size_t cols = plane.view->cols;
  std::vector<float> u(own.rank), row(cols);
  codecs::LowRankLeft(*plane.view, sum.row, sum.row + 1, u.data());
  codecs::LowRankRow(u.data(), own.factor.data(), DotStride(cols), own.rank, cols, row.data());
  for (std::size_t j = 0; j < cols; ++j) sum.out[j] = (sum.fresh ? 0.0f : sum.out[j]) + row[j];
}

}  // namespace

const ResidentKind kResidentLowRank = {.name = "lowrank",
                                       .prepare = Prepare,
                                       .inputs = Inputs,
                                       .matvec = Matvec,
                                       .decode_row = DecodeRow};

// Of other kinds the codec knows how factors make a weight.
const ResidentKind kResidentShared = {.name = {},
                                      .prepare = Prepare,
                                      .inputs = Inputs,
                                      .matvec = Matvec,
                                      .decode_row = DecodeByCodec};

}  // namespace ingot::loader
