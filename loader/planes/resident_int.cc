#include "loader/planes/resident_int.h"

#include <algorithm>
#include <utility>

#include "codecs/planes/int_plane.h"
#include "loader/kernels/kernel_registry.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

PlaneOperand OperandOf(const codecs::PlaneView& view, const codecs::IntLayout& layout) {
  PlaneOperand operand;
  operand.rows = view.rows;
  operand.cols = view.cols;
  operand.bits = layout.bits;
  operand.group = std::min(layout.group, view.cols);
  operand.groups = layout.groups;
  operand.row_bytes = layout.code_row_bytes;
  operand.codes = view.streams[0].data();
  operand.scales = view.streams[1].data();
  if (layout.has_zeros()) operand.zeros = view.streams[layout.zeros_stream()].data();
  if (layout.has_minima()) operand.minima = view.streams[layout.minima_stream()].data();
  operand.wide_scales = layout.scales == codecs::ScaleFormat::kF32;
  if (layout.has_row_scales()) operand.row_scales = view.streams[layout.row_scales_stream()].data();
  operand.linear_levels =
      layout.levels == codecs::IntLevels::kSymmetric || layout.has_zeros() || layout.has_minima();
  if (layout.levels == codecs::IntLevels::kNormal) operand.table = codecs::kNormalLevels;
  operand.offset = layout.levels == codecs::IntLevels::kSymmetric ? 1 << (layout.bits - 1) : 0;
  return operand;
}

Result<std::unique_ptr<PreparedPlane>> Prepare(const codecs::PlaneView& view) {
  INGOT_ASSIGN(const codecs::IntLayout layout, codecs::IntLayout::Parse(*view.spec, view.cols));
  auto plane = std::make_unique<PreparedInt>();
  plane->operand = OperandOf(view, layout);
  plane->levels.resize(std::size_t{1} << layout.bits);
  codecs::IntLevelTable(layout, plane->levels.data());
  plane->operand.levels = plane->levels.data();
  plane->span = IntSpan(plane->operand);
  plane->own_product = plane->span > 0;
  plane->needs.records = plane->own_product;
  plane->needs.spans = static_cast<unsigned>(plane->span) & (kScaleInputs - 1);
  plane->scratch_floats = MatvecScratch(plane->operand);
  return std::unique_ptr<PreparedPlane>(std::move(plane));
}

void Matvec(const PreparedPlane& plane, const PlaneProduct& product) {
  const auto& own = static_cast<const PreparedInt&>(plane);
  kIntMatvec.Best().run({.plane = &own.operand,
                         .span = own.span,
                         .row_begin = product.row_begin,
                         .rows = product.rows,
                         .x = product.records,
                         .x_lines = product.record_lines,
                         .tokens = product.tokens,
                         .scratch = product.scratch,
                         .y = product.y,
                         .y_stride = product.y_stride});
}

void DecodeRow(const PreparedPlane& plane, const RowSum& sum) {
  const PlaneOperand& operand = static_cast<const PreparedInt&>(plane).operand;
  const auto decode = kRowDecode.Best().decode_int;
  if (decode == nullptr || !operand.whole_levels()) return DecodeByCodec(plane, sum);
  decode({&operand, sum.row, !sum.fresh, sum.scratch, sum.out});
}

}  // namespace

const ResidentKind kResidentInt = {
    .name = "int", .prepare = Prepare, .matvec = Matvec, .decode_row = DecodeRow};

}  // namespace ingot::loader
