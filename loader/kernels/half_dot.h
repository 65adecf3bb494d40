// y[t][r] += w[r] · x[t] over rows of 16-bit floats as they are stored: panel_dot.h's product
// without the panel, for weights that are read once and used by a few tokens.
//
// Its sums are panel_dot's, in the same order: a result is the same in both to the bit, and
// whatever tokens and rows are computed with it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"
#include "loader/kernels/panel_dot.h"

namespace ingot::loader {

struct HalfDot {
  const std::uint8_t* w = nullptr;  // rows x row_bytes, no alignment
  std::size_t row_bytes = 0;
  std::size_t rows = 0;
  std::size_t cols = 0;
  const float* x = nullptr;  // tokens x x_stride, zero between cols and the next multiple of 16
  std::size_t x_stride = 0;
  std::size_t tokens = 0;
  float* y = nullptr;  // tokens x y_stride
  std::size_t y_stride = 0;
};

struct HalfDotKernels {
  // Null: rows are converted into a panel.
  void (*bf16)(const HalfDot& dot);
  void (*f16)(const HalfDot& dot);
};

// Rows that a kernel takes through all inputs before the next ones: the few that one reading of
// memory feeds, or as many as stay in the second-level cache while many tokens meet them.
constexpr std::size_t HalfDotRows(std::size_t tokens) { return tokens <= 32 ? 4 : 64; }

extern const HalfDotKernels kHalfDotScalar, kHalfDotAvx2, kHalfDotAvx512;
extern const Ladder<HalfDotKernels> kHalfDot;

}  // namespace ingot::loader
