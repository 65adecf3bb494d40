// The reference of the 8-bit product: the same records, the same integers, one code after the
// other.
#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "base/float_formats.h"
#include "loader/kernels/int_matvec.h"

namespace ingot::loader {
namespace {

float ScaleOf(const PlaneOperand& plane, std::uint64_t row, std::uint64_t group) {
  const std::uint64_t index = row * plane.groups + group;
  if (plane.row_scales == nullptr) return FromFp16(LoadLe<std::uint16_t>(plane.scales + 2 * index));
  return static_cast<float>(static_cast<std::int8_t>(plane.scales[index])) *
         FromFp16(LoadLe<std::uint16_t>(plane.row_scales + 2 * row));
}

float ZeroOf(const PlaneOperand& plane, std::uint64_t row, std::uint64_t group) {
  if (plane.zeros == nullptr) return static_cast<float>(plane.offset);
  return static_cast<float>(plane.zeros[row * plane.groups + group]) /
         static_cast<float>(1 << (8 - plane.bits));
}

// The sum over one field of one row; input i of the plane lies in record `at`, place `place`.
double FieldDot(const PlaneOperand& plane, const IntField& field, std::uint64_t row,
                const InputRecord* x) {
  const std::uint8_t* bytes = plane.codes + row * plane.row_bytes + field.offset_bytes;
  const std::uint64_t parts = 8 / static_cast<std::uint64_t>(field.width);
  const std::uint64_t block = kRecordInputs * parts;
  const int mask = (1 << field.width) - 1;
  double sum = 0;
  for (std::uint64_t i = 0; i < plane.cols; ++i) {
    const std::uint64_t in_block = i % block;
    const bool tail = i / block == field.full_blocks;
    const std::uint64_t stride = tail ? field.tail_bytes : kRecordInputs;
    const std::uint64_t part = in_block / stride, place = in_block % stride;
    const bool own_tail = tail && parts > 1;
    const InputRecord& record =
        x[own_tail ? TailRecord(plane.cols, parts) + part : i / block * parts + part];
    const int byte = bytes[i / block * kRecordInputs + place];
    const int code = (byte >> (static_cast<int>(part) * field.width)) & mask;
    const std::uint64_t group = i / plane.group;
    const float zero = field.shift == 0 ? ZeroOf(plane, row, group) : 0.0f;
    const double level = plane.table != nullptr
                             ? static_cast<double>(plane.table[code]) / codecs::kNormalUnits
                             : static_cast<double>(code << field.shift) - static_cast<double>(zero);
    sum += level * static_cast<double>(ScaleOf(plane, row, group)) * record.q[place] *
           static_cast<double>(record.scale[place / 4]);
  }
  return sum;
}

}  // namespace

void QuantizeRecordScalar(const float* x, std::size_t n, InputRecord* record) {
  *record = InputRecord{};
  for (std::size_t begin = 0; begin < n; begin += kScaleInputs) {
    const std::size_t end = std::min(n, begin + kScaleInputs);
    float largest = 0;
    for (std::size_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(x[i]));
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    for (std::size_t i = begin / 4; i < (begin + kScaleInputs) / 4; ++i)
      record->scale[i] = largest / 127.0f;
    for (std::size_t i = begin; i < end; ++i) {
      record->q[i] = static_cast<std::int8_t>(std::nearbyint(x[i] * inverse));
      record->negative_sum[i / 4] -= record->q[i];
    }
  }
}

void IntMatvecScalar(const IntMatvec& matvec) {
  for (std::size_t t = 0; t < matvec.tokens; ++t)
    for (std::size_t r = 0; r < matvec.rows; ++r) {
      double sum = 0;
      for (int f = 0; f < matvec.fields->count; ++f)
        sum += FieldDot(*matvec.plane, matvec.fields->field[f], matvec.row_begin + r,
                        matvec.x + t * matvec.record_stride);
      matvec.y[t * matvec.y_stride + r] += static_cast<float>(sum);
    }
}

}  // namespace ingot::loader
