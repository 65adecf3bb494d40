// A `raw` plane: values that kernels convert as they stand.
#include <utility>

#include "codecs/planes/raw_plane.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

struct PreparedRaw : PreparedPlane {
  DType dtype = DType::kF32;
  std::uint64_t row_bytes = 0;
};

Result<std::unique_ptr<PreparedPlane>> Prepare(const codecs::PlaneView& view) {
  auto plane = std::make_unique<PreparedRaw>();
  INGOT_ASSIGN(plane->dtype, codecs::RawDType(*view.spec));
  plane->row_bytes = view.cols * DTypeBytes(plane->dtype);
  return std::unique_ptr<PreparedPlane>(std::move(plane));
}

void DecodeRow(const PreparedPlane& plane, const RowSum& sum) {
  const auto& own = static_cast<const PreparedRaw&>(plane);
  codecs::ConvertToFloat(own.dtype,
                         plane.view->streams[0].subspan(sum.row * own.row_bytes, own.row_bytes),
                         {sum.out, plane.view->cols});
}

}  // namespace

const ResidentKind kResidentRaw = {.name = "raw", .prepare = Prepare, .decode_row = DecodeRow};

}  // namespace ingot::loader
