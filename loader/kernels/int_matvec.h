// y += P x for an int plane P and activations quantized to 8 bits: the product under kFast, of one
// token or of hundreds.
//
// Activations are quantized once a call, in the order of the inputs, with a scale for every 32 (as
// in llama.cpp's Q8_0). Of a token, in lines of 64 bytes, n = ceil(cols / 64):
//
//   q      n lines         i8, zero beyond cols
//   scale  2 n floats      of 32 inputs
//   sums   2 n i32, of 32 inputs, negated; where asked for 4 n of 16, 8 n of 8, 16 n of 4, after
//   these
//
// Kernels take kTileRows rows together. Of kChunkInputs inputs at a time their codes, whatever
// their bits, become bytes in a panel in the first-level cache, turned so that a vector's lanes are
// rows: 4 inputs of each, the unit of the byte product, beside each other. Then every token meets
// the panel: inputs that share both scales are added up as whole numbers, their sum times the
// input's scale within a group, that times the row's scale into y. So weights are read once however
// many tokens there are, and a row's result of a token is the same sequence of roundings whatever
// tokens and rows are computed with it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"
#include "codecs/planes/int_levels.h"
#include "loader/kernels/plane_operand.h"

namespace ingot::loader {

inline constexpr std::size_t kLineInputs = 64;
inline constexpr std::size_t kScaleInputs = 32;
inline constexpr std::size_t kChunkInputs = 512;  // of a panel: whole blocks of every bit field
inline constexpr std::size_t kMatvecRows = 32;    // computed together
inline constexpr std::size_t kLaneInputs = 4;

struct alignas(64) InputLine {
  std::uint8_t bytes[64];
};

constexpr std::size_t InputLines(std::size_t cols) {
  return (cols + kLineInputs - 1) / kLineInputs;
}
// Where the sums of `span` = 32, 16, 8 or 4 inputs begin among a token's sums.
constexpr std::size_t SumsAt(std::size_t cols, std::size_t span) {
  return InputLines(cols) * (2 * (kScaleInputs / span) - 2);
}
constexpr std::size_t ScaleLines(std::size_t cols) { return (2 * InputLines(cols) + 15) / 16; }
constexpr std::size_t LinesOfToken(std::size_t cols) {
  return InputLines(cols) + ScaleLines(cols) + (30 * InputLines(cols) + 15) / 16;
}

// A token's parts.
inline const std::int8_t* InputCodes(const InputLine* token) {
  return reinterpret_cast<const std::int8_t*>(token);
}
inline const float* InputScales(const InputLine* token, std::size_t cols) {
  return reinterpret_cast<const float*>(token + InputLines(cols));
}
inline const std::int32_t* InputSums(const InputLine* token, std::size_t cols, std::size_t span) {
  return reinterpret_cast<const std::int32_t*>(token + InputLines(cols) + ScaleLines(cols)) +
         SumsAt(cols, span);
}

// Inputs whose products are added up as whole numbers: the most that share both scales. 0 where a
// group cuts the byte product's four inputs, or levels are no whole numbers: then the float path
// has to serve.
std::size_t IntSpan(const PlaneOperand& plane);

struct IntMatvec {
  const PlaneOperand* plane = nullptr;
  std::size_t span = 0;  // IntSpan(*plane), not 0
  std::uint64_t row_begin = 0;
  std::size_t rows = 0;
  const InputLine* x = nullptr;  // tokens x x_lines
  std::size_t x_lines = 0;
  std::size_t tokens = 0;
  float* scratch = nullptr;  // MatvecScratch(plane) floats, 64-byte aligned
  float* y = nullptr;        // y[t * y_stride + r] +=
  std::size_t y_stride = 0;
};

// Codes of a panel, and of rows on their way there; scales and zero points of its rows, by group.
inline constexpr std::size_t kPanelFloats = kMatvecRows * kChunkInputs / sizeof(float);
constexpr std::size_t PaddedGroups(std::uint64_t groups) { return (groups + 15) / 16 * 16; }
constexpr std::size_t MatvecScratch(const PlaneOperand& plane) {
  return 2 * kPanelFloats + 2 * kMatvecRows * PaddedGroups(plane.groups);
}

// What codes stand for: themselves less an offset, or with an offset of their group (a zero point
// or a minimum), or a table's levels.
enum class Codes { kOffset, kGroup, kTable };

struct IntMatvecKernel {
  // x: cols floats. spans: 16, 8 and 4 or'ed, the sums that are wanted beside those of 32 inputs.
  void (*quantize)(const float* x, std::size_t cols, unsigned spans, InputLine* token);
  void (*run)(const IntMatvec& matvec);
  bool takes_turned = false;  // PlaneOperand::turned
};

void QuantizeInputsScalar(const float* x, std::size_t cols, unsigned spans, InputLine* token);
void QuantizeInputsAvx2(const float* x, std::size_t cols, unsigned spans, InputLine* token);
void QuantizeInputsAvx512(const float* x, std::size_t cols, unsigned spans, InputLine* token);

void IntMatvecScalar(const IntMatvec& matvec);
void IntMatvecAvx2(const IntMatvec& matvec);
void IntMatvecAvx512(const IntMatvec& matvec);

}  // namespace ingot::loader
