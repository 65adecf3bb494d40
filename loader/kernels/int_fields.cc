#include <algorithm>

#include "codecs/planes/bit_fields.h"
#include "loader/kernels/int_matvec.h"

namespace ingot::loader {
namespace {

constexpr std::uint64_t kLaneCodes = 4;

// Group of each lane of each part of the short block. False where a lane's codes differ in group,
// or the lanes of a part span more groups than one vector of scales.
bool PlanTail(const PlaneOperand& plane, IntField& field) {
  const std::uint64_t parts = 8 / static_cast<std::uint64_t>(field.width);
  const std::uint64_t base = plane.cols - field.tail_codes;
  for (std::uint64_t p = 0; p < parts; ++p) {
    const std::uint64_t begin =
        base + std::min<std::uint64_t>(p * field.tail_bytes, field.tail_codes);
    const std::uint64_t end = std::min<std::uint64_t>(begin + field.tail_bytes, plane.cols);
    const std::uint64_t first = std::min(begin / plane.group, plane.groups - 1);
    field.tail.first[p] = static_cast<std::uint32_t>(first);
    field.tail.uniform[p] = true;
    for (std::uint64_t i = 0; i < 16; ++i) {
      const std::uint64_t low = begin + i * kLaneCodes;
      const std::uint64_t high = std::min(low + kLaneCodes, end);
      field.tail.lane[p][i] = 0;
      if (low >= end) continue;
      const std::uint64_t group = low / plane.group;
      if ((high - 1) / plane.group != group || group - first > 15) return false;
      field.tail.lane[p][i] = static_cast<std::int32_t>(group - first);
      if (group != first) field.tail.uniform[p] = false;
    }
  }
  return true;
}

bool PlanMode(const PlaneOperand& plane, IntField& field) {
  const std::uint64_t block = kRecordInputs * 8 / static_cast<std::uint64_t>(field.width);
  if (plane.groups == 1 || plane.group % block == 0) {
    field.mode = GroupMode::kBlock;
  } else if (plane.group % kRecordInputs == 0) {
    field.mode = GroupMode::kRecord;
  } else if (plane.group >= kLaneCodes && kRecordInputs % plane.group == 0) {
    field.mode = GroupMode::kLane;
  } else {
    return field.full_blocks == 0;  // the tail has its own table
  }
  return true;
}

}  // namespace

bool PlanIntFields(const PlaneOperand& plane, IntFields& fields) {
  if (!plane.whole_levels()) return false;
  fields.count = 0;
  std::size_t offset = 0;
  for (int shift = 0; shift < plane.bits;) {
    IntField& field = fields.field[fields.count++];
    field = IntField{};
    field.width = codecs::FieldWidth(plane.bits, shift);
    field.shift = shift;
    field.offset_bytes = offset;
    const std::uint64_t block = kRecordInputs * 8 / static_cast<std::uint64_t>(field.width);
    const std::uint64_t parts = 8 / static_cast<std::uint64_t>(field.width);
    field.full_blocks = plane.cols / block;
    field.tail_codes = plane.cols % block;
    field.tail_bytes = (field.tail_codes + parts - 1) / parts;
    if (!PlanMode(plane, field) || !PlanTail(plane, field)) return false;
    shift += field.width;
    offset += codecs::FieldBytes(field.width, plane.cols);
  }
  for (int f = 0; f < fields.count; ++f)
    if (fields.count > 1 && fields.field[f].tail_bytes % kLaneCodes != 0) return false;
  return true;
}

}  // namespace ingot::loader
