// A `raw` plane: values that kernels convert as they stand.
#include <utility>

#include "codecs/planes/raw_plane.h"
#include "loader/kernels/half_dot.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

struct PreparedRaw : PreparedPlane {
  DType dtype = DType::kF32;
  std::uint64_t row_bytes = 0;
  void (*dot)(const HalfDot& dot) = nullptr;
};

Result<std::unique_ptr<PreparedPlane>> Prepare(const codecs::PlaneView& view) {
  auto plane = std::make_unique<PreparedRaw>();
  INGOT_ASSIGN(plane->dtype, codecs::RawDType(*view.spec));
  plane->row_bytes = view.cols * DTypeBytes(plane->dtype);
  const HalfDotKernels& kernels = kHalfDot.Best();
  if (plane->dtype == DType::kBf16) plane->dot = kernels.bf16;
  if (plane->dtype == DType::kF16) plane->dot = kernels.f16;
  plane->own_product = plane->dot != nullptr;
  plane->needs.packed = true;
  return std::unique_ptr<PreparedPlane>(std::move(plane));
}

void Matvec(const PreparedPlane& plane, const PlaneProduct& product) {
  const auto& own = static_cast<const PreparedRaw&>(plane);
  own.dot({.w = plane.view->streams[0].data() + product.row_begin * own.row_bytes,
           .row_bytes = own.row_bytes,
           .rows = product.rows,
           .cols = plane.view->cols,
           .x = product.packed,
           .x_stride = product.packed_stride,
           .tokens = product.tokens,
           .y = product.y,
           .y_stride = product.y_stride});
}

void DecodeRow(const PreparedPlane& plane, const RowSum& sum) {
  const auto& own = static_cast<const PreparedRaw&>(plane);
  codecs::ConvertToFloat(own.dtype,
                         plane.view->streams[0].subspan(sum.row * own.row_bytes, own.row_bytes),
                         {sum.out, plane.view->cols});
}

}  // namespace

const ResidentKind kResidentRaw = {
    .name = "raw", .prepare = Prepare, .matvec = Matvec, .decode_row = DecodeRow};

}  // namespace ingot::loader
