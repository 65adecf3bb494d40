#include "loader/planes/resident_fp8.h"

#include <algorithm>
#include <utility>

#include "codecs/planes/fp8_plane.h"
#include "loader/kernels/kernel_registry.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

Result<std::unique_ptr<PreparedPlane>> Prepare(const codecs::PlaneView& view) {
  INGOT_ASSIGN(const codecs::Fp8Layout layout, codecs::Fp8Layout::Parse(*view.spec, view.cols));
  auto plane = std::make_unique<PreparedFp8>();
  PlaneOperand& operand = plane->operand;
  operand.rows = view.rows;
  operand.cols = view.cols;
  operand.bits = 8;
  operand.group = std::min(layout.block, view.cols);
  operand.groups = CeilDiv(view.cols, operand.group);
  operand.row_bytes = view.cols;
  operand.codes = view.streams[0].data();
  operand.scales = view.streams[1].data();
  return std::unique_ptr<PreparedPlane>(std::move(plane));
}

void DecodeRow(const PreparedPlane& plane, const RowSum& sum) {
  const auto decode = kRowDecode.Best().decode_fp8;
  if (decode == nullptr) return DecodeByCodec(plane, sum);
  decode(
      {&static_cast<const PreparedFp8&>(plane).operand, sum.row, !sum.fresh, sum.scratch, sum.out});
}

}  // namespace

const ResidentKind kResidentFp8 = {.name = "fp8", .prepare = Prepare, .decode_row = DecodeRow};

}  // namespace ingot::loader
