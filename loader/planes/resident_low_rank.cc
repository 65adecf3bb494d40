// Any plane whose rows share a product (codecs::SharedProduct): y += U (V x), V x once a token.
#include <algorithm>
#include <utility>

#include "loader/kernels/kernel_registry.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

// Rows of U decoded at a time.
constexpr std::size_t kCoefficientRows = 64;

struct PreparedLowRank : PreparedPlane {
  std::size_t rank = 0;
  AlignedBuffer<float> factor;  // rank x DotStride(cols), padded with zeros
};

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
  plane->needs.shared = plane->rank;
  plane->scratch_floats = kCoefficientRows * plane->rank;
  return std::unique_ptr<PreparedPlane>(std::move(plane));
}

void Inputs(const PreparedPlane& plane, const float* packed, float* shared) {
  const auto& own = static_cast<const PreparedLowRank&>(plane);
  const std::size_t stride = DotStride(plane.view->cols);
  std::fill_n(shared, own.rank, 0.0f);
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
  const std::size_t rank = static_cast<const PreparedLowRank&>(plane).rank;
  for (std::size_t begin = 0; begin < product.rows; begin += kCoefficientRows) {
    const std::size_t count = std::min(kCoefficientRows, product.rows - begin);
    const std::uint64_t row = product.row_begin + begin;
    plane.kind->shared->coefficient_rows(*plane.view, row, row + count, product.scratch);
    for (std::size_t t = 0; t < product.tokens; ++t)
      for (std::size_t r = 0; r < count; ++r) {
        float sum = 0;
        for (std::size_t k = 0; k < rank; ++k)
          sum += product.scratch[r * rank + k] * product.shared[t * rank + k];
        product.y[t * product.y_stride + begin + r] += sum;
      }
  }
}

}  // namespace

const ResidentKind kResidentLowRank = {.name = {},
                                       .prepare = Prepare,
                                       .inputs = Inputs,
                                       .matvec = Matvec,
                                       .decode_row = DecodeByCodec};

}  // namespace ingot::loader
