// y += P x for a trellis plane whose codes lie in columns and activations quantized to 8 bits: of
// one token or of hundreds.
//
// A panel of kTrellisRows rows of kTrellisCols inputs is made of the codes as they are stored: the
// states of 16 rows of a column are windows of 4 to 16 bytes that begin 2 * bits bytes apart, their
// levels are computed (codecs/planes/bitshift_levels.h), and those of 4 columns of a row are put
// beside each other, the unit of the byte product, lanes being rows. Then every token meets the
// panel. Inputs of a scale are added up as whole numbers, those sums times their scales within a
// panel, and that times the row's scale into y: a row's result of a token is the same sequence of
// roundings whatever tokens and rows are computed with it.
//
//   panel   kTrellisCols / 4 x kTrellisRows x 4 bytes: input quads down, rows across
//
// Thread rule: pure functions. No std containers here: the AVX files share this header.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"
#include "loader/kernels/int_matvec.h"

namespace ingot::loader {

inline constexpr std::size_t kTrellisRows = 128;
inline constexpr std::size_t kTrellisCols = 128;
inline constexpr std::size_t kTrellisBlock = 16;  // rows whose states are taken together
inline constexpr std::size_t kTrellisScratch = kTrellisRows * kTrellisCols / sizeof(float);

struct TrellisOperand {
  int bits = 0;
  int state = 0;
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::uint64_t tile_rows = 0;
  std::uint64_t row_bytes = 0;  // of `codes`
  const std::uint8_t* codes = nullptr;
  const std::uint8_t* scales = nullptr;  // f16 [rows]
};

struct TrellisMatvec {
  const TrellisOperand* plane = nullptr;
  std::uint64_t row_begin = 0;
  std::size_t rows = 0;
  const InputLine* x = nullptr;  // tokens x x_lines
  std::size_t x_lines = 0;
  std::size_t tokens = 0;
  float* scratch = nullptr;  // kTrellisScratch floats, 64-byte aligned
  float* y = nullptr;        // y[t * y_stride + r] +=
  std::size_t y_stride = 0;
};

using TrellisMatvecKernel = void(const TrellisMatvec& matvec);
TrellisMatvecKernel TrellisMatvecScalar, TrellisMatvecAvx2, TrellisMatvecAvx512;
TrellisMatvecKernel TrellisMatvecVbmi;  // REQUIRES: HasVbmi()
// Whether the processor has AVX-512 VBMI, which the ladder's top rung alone does not say.
bool HasVbmi();
extern const Ladder<TrellisMatvecKernel> kTrellisMatvec;

// Rows of one ring that are computed together, and where they lie in it.
struct TrellisRun {
  const std::uint8_t* codes;  // of the ring
  std::uint64_t ring;         // rows of it
  std::uint64_t first;        // the first row, in the ring
  std::size_t rows;           // <= kTrellisRows
};

// The run that begins at row `done` of the product.
inline TrellisRun NextTrellisRun(const TrellisMatvec& m, std::size_t done) {
  const TrellisOperand& plane = *m.plane;
  const std::uint64_t row = m.row_begin + done;
  const std::uint64_t begin = row / plane.tile_rows * plane.tile_rows;
  const std::uint64_t left = plane.rows - begin;
  TrellisRun run{plane.codes + begin * plane.row_bytes,
                 left < plane.tile_rows ? left : plane.tile_rows, row - begin, m.rows - done};
  if (run.rows > run.ring - run.first) run.rows = run.ring - run.first;
  if (run.rows > kTrellisRows) run.rows = kTrellisRows;
  return run;
}

// The state of a weight, bit by bit: for rings that the vectors do not take.
inline std::uint32_t TrellisStateOf(const TrellisOperand& plane, const TrellisRun& run,
                                    std::uint64_t row, std::uint64_t column) {
  const auto bits = static_cast<std::uint64_t>(plane.bits);
  const std::uint64_t begin = column * run.ring * bits, end = begin + run.ring * bits;
  std::uint64_t at = end - (row + 1) * bits;
  std::uint32_t state = 0;
  for (int i = 0; i < plane.state; ++i) {
    state |= static_cast<std::uint32_t>(run.codes[at / 8] >> (at % 8) & 1) << i;
    if (++at == end) at = begin;
  }
  return state;
}

}  // namespace ingot::loader
