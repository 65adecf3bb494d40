// The reference of the 8-bit product: the same inputs, one code after the other, in double.
#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "base/float_formats.h"
#include "codecs/planes/bit_fields.h"
#include "loader/kernels/int_matvec.h"

namespace ingot::loader {
namespace {

// A scale or minimum.
float GroupNumber(const PlaneOperand& plane, const std::uint8_t* numbers, std::uint64_t index) {
  return plane.wide_scales ? LoadLe<float>(numbers + 4 * index)
                           : FromFp16(LoadLe<std::uint16_t>(numbers + 2 * index));
}

float ScaleOf(const PlaneOperand& plane, std::uint64_t row, std::uint64_t group) {
  const std::uint64_t index = row * plane.groups + group;
  if (plane.row_scales == nullptr) return GroupNumber(plane, plane.scales, index);
  return static_cast<float>(static_cast<std::int8_t>(plane.scales[index])) *
         FromFp16(LoadLe<std::uint16_t>(plane.row_scales + 2 * row));
}

float ZeroOf(const PlaneOperand& plane, std::uint64_t row, std::uint64_t group) {
  if (plane.zeros == nullptr) return static_cast<float>(plane.offset);
  return static_cast<float>(plane.zeros[row * plane.groups + group]) /
         static_cast<float>(1 << (8 - plane.bits));
}

// Codes [begin, begin + count) of a row. REQUIRES: begin is a multiple of kChunkInputs.
void UnpackChunk(const PlaneOperand& plane, std::uint64_t row, std::uint64_t begin,
                 std::uint64_t count, std::uint8_t* codes) {
  const std::uint8_t* field = plane.codes + row * plane.row_bytes;
  std::fill_n(codes, count, std::uint8_t{0});
  for (int shift = 0; shift < plane.bits;) {
    const int width = codecs::FieldWidth(plane.bits, shift);
    codecs::UnpackField(field + begin * static_cast<std::uint64_t>(width) / 8, width, shift, count,
                        codes);
    field += codecs::FieldBytes(width, plane.cols);
    shift += width;
  }
}

}  // namespace

void QuantizeInputsScalar(const float* x, std::size_t cols, unsigned spans, InputLine* token) {
  auto* q = reinterpret_cast<std::int8_t*>(token);
  auto* scales = const_cast<float*>(InputScales(token, cols));
  std::fill_n(q, InputLines(cols) * kLineInputs, std::int8_t{0});
  for (std::size_t begin = 0, at = 0; begin < InputLines(cols) * kLineInputs;
       begin += kScaleInputs, ++at) {
    const std::size_t end = std::min(cols, begin + kScaleInputs);
    float largest = 0;
    for (std::size_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(x[i]));
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    scales[at] = largest / 127.0f;
    for (std::size_t i = begin; i < end; ++i)
      q[i] = static_cast<std::int8_t>(std::nearbyint(x[i] * inverse));
  }
  for (std::size_t span = kScaleInputs; span >= kLaneInputs; span /= 2) {
    if (span < kScaleInputs && (spans & span) == 0) continue;
    auto* sums = const_cast<std::int32_t*>(InputSums(token, cols, span));
    for (std::size_t i = 0; i < InputLines(cols) * kLineInputs / span; ++i) {
      sums[i] = 0;
      for (std::size_t k = 0; k < span; ++k) sums[i] -= q[i * span + k];
    }
  }
}

void IntMatvecScalar(const IntMatvec& matvec) {
  const PlaneOperand& plane = *matvec.plane;
  auto* codes = reinterpret_cast<std::uint8_t*>(matvec.scratch);
  for (std::size_t r = 0; r < matvec.rows; ++r) {
    const std::uint64_t row = matvec.row_begin + r;
    for (std::size_t t = 0; t < matvec.tokens; ++t) {
      const InputLine* token = matvec.x + t * matvec.x_lines;
      const std::int8_t* q = InputCodes(token);
      const float* scales = InputScales(token, plane.cols);
      double sum = 0;
      for (std::uint64_t i = 0; i < plane.cols; ++i) {
        // A chunk of codes at a time: the scratch space has room for one.
        if (i % kChunkInputs == 0)
          UnpackChunk(plane, row, i, std::min<std::uint64_t>(kChunkInputs, plane.cols - i), codes);
        const int code = codes[i % kChunkInputs];
        const std::uint64_t group = i / plane.group;
        const double level =
            plane.table != nullptr
                ? static_cast<double>(plane.table[code]) / codecs::kNormalUnits
                : static_cast<double>(code) - static_cast<double>(ZeroOf(plane, row, group));
        double value = level * static_cast<double>(ScaleOf(plane, row, group));
        if (plane.minima != nullptr)
          value +=
              static_cast<double>(GroupNumber(plane, plane.minima, row * plane.groups + group));
        sum += value * q[i] * static_cast<double>(scales[i / kScaleInputs]);
      }
      matvec.y[t * matvec.y_stride + r] += static_cast<float>(sum);
    }
  }
}

}  // namespace ingot::loader
