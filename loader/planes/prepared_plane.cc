#include "loader/planes/prepared_plane.h"

#include <algorithm>
#include <string>

#include "base/dtype.h"
#include "codecs/planes/int_plane.h"

namespace ingot::loader {
namespace {

std::string TextAttribute(const codecs::PlaneSpec& spec, const std::string& name) {
  const auto it = spec.attributes.find(name);
  if (it == spec.attributes.end()) return {};
  const auto* text = std::get_if<std::string>(&it->second);
  return text == nullptr ? std::string() : *text;
}

std::uint64_t IntegerAttribute(const codecs::PlaneSpec& spec, const std::string& name) {
  const auto it = spec.attributes.find(name);
  if (it == spec.attributes.end()) return 0;
  const auto* value = std::get_if<std::int64_t>(&it->second);
  return value == nullptr ? 0 : static_cast<std::uint64_t>(*value);
}

void PrepareRaw(const codecs::PlaneView& view, PlaneOperand& operand) {
  const std::string dtype = TextAttribute(*view.spec, "dtype");
  operand.replaces = true;
  operand.codes = view.streams[0].data();
  if (dtype == "f32") operand.kind = OperandKind::kF32;
  if (dtype == "f16") operand.kind = OperandKind::kF16;
  if (dtype == "bf16") operand.kind = OperandKind::kBf16;
  operand.row_bytes = view.cols * (dtype == "f32" ? 4 : 2);
}

Status PrepareInt(const codecs::PlaneView& view, PreparedPlane& prepared) {
  INGOT_ASSIGN(const codecs::IntLayout layout, codecs::IntLayout::Parse(*view.spec, view.cols));
  PlaneOperand& operand = prepared.operand;
  operand.kind = OperandKind::kInt;
  operand.bits = layout.bits;
  operand.group = std::min(layout.group, view.cols);
  operand.groups = layout.groups;
  operand.row_bytes = layout.code_row_bytes;
  operand.codes = view.streams[0].data();
  operand.scales = view.streams[1].data();
  if (layout.has_zeros()) operand.zeros = view.streams[layout.zeros_stream()].data();
  if (layout.has_row_scales()) operand.row_scales = view.streams[layout.row_scales_stream()].data();
  operand.linear_levels = layout.levels == codecs::IntLevels::kSymmetric || layout.has_zeros();
  if (layout.levels == codecs::IntLevels::kNormal) operand.table = codecs::kNormalLevels;
  operand.offset = layout.levels == codecs::IntLevels::kSymmetric ? 1 << (layout.bits - 1) : 0;
  prepared.levels.resize(std::size_t{1} << layout.bits);
  codecs::IntLevelTable(layout, prepared.levels.data());
  operand.levels = prepared.levels.data();
  return OkStatus();
}

void PrepareFp8(const codecs::PlaneView& view, PlaneOperand& operand) {
  operand.kind = OperandKind::kFp8;
  operand.bits = 8;
  operand.group = std::min(IntegerAttribute(*view.spec, "block"), view.cols);
  operand.groups = CeilDiv(view.cols, operand.group);
  operand.row_bytes = view.cols;
  operand.codes = view.streams[0].data();
  operand.scales = view.streams[1].data();
}

void PrepareSparse(const codecs::PlaneView& view, PreparedPlane& prepared) {
  const int count_bytes = view.cols <= 65535 ? 2 : 4;
  const std::uint8_t* counts = view.streams[0].data();
  prepared.row_offsets.resize(view.rows + 1);
  std::uint64_t entries = 0;
  for (std::uint64_t r = 0; r < view.rows; ++r) {
    prepared.row_offsets[r] = entries;
    entries += count_bytes == 2 ? LoadLe<std::uint16_t>(counts + 2 * r)
                                : LoadLe<std::uint32_t>(counts + 4 * r);
  }
  prepared.row_offsets[view.rows] = entries;
  PlaneOperand& operand = prepared.operand;
  operand.kind = OperandKind::kSparse;
  operand.row_offsets = prepared.row_offsets.data();
  operand.columns = view.streams[1].data();
  operand.values = view.streams[2].data();
  operand.column_bytes = view.cols <= 65536 ? 2 : 4;
}

}  // namespace

Result<std::shared_ptr<const PreparedPlane>> PreparePlane(const codecs::PlaneView& view) {
  auto prepared = std::make_shared<PreparedPlane>();
  INGOT_ASSIGN(prepared->kind, codecs::FindPlaneKind(view.spec->kind));
  prepared->operand.rows = view.rows;
  prepared->operand.cols = view.cols;
  const std::string& kind = view.spec->kind;
  if (kind == "raw") {
    PrepareRaw(view, prepared->operand);
  } else if (kind == "int") {
    INGOT_TRY(PrepareInt(view, *prepared));
    prepared->has_fields = PlanIntFields(prepared->operand, prepared->fields);
  } else if (kind == "fp8") {
    PrepareFp8(view, prepared->operand);
  } else if (kind == "sparse") {
    PrepareSparse(view, *prepared);
  } else if (prepared->kind->role == codecs::PlaneRole::kTransforms) {
    prepared->operand.kind = OperandKind::kTransform;
    INGOT_ASSIGN(prepared->transform, codecs::MakeTransform(view));
  }
  return std::shared_ptr<const PreparedPlane>(std::move(prepared));
}

}  // namespace ingot::loader
