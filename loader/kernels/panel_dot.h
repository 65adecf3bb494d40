// y[t][r] += w[r] · x[t] over a panel of decoded rows: the inner product under every float path.
//
// Each (t, r) has its own lanes, summed over k in one fixed order (blocks of kDotBlock inputs,
// lanes, a fixed tree), whatever tile it is computed in. So a token's result does not depend on how
// many tokens or rows are computed with it: decode and prefill agree bit for bit on one instruction
// set.
#pragma once

#include <cstddef>

#include "base/cpu.h"

namespace ingot::loader {

inline constexpr std::size_t kDotLanes = 16;   // widths are padded with zeros to a multiple of this
inline constexpr std::size_t kDotBlock = 512;  // inputs summed in registers before y is touched
// Rows of panels and of packed activations lie this many floats apart: one line past a power of
// two, so that the rows of a tile do not fall into the same cache set.
constexpr std::size_t DotStride(std::size_t cols) {
  return (cols + kDotLanes - 1) / kDotLanes * kDotLanes + kDotLanes;
}

struct PanelDot {
  const float* w = nullptr;  // rows x w_stride, zero between cols and padded_cols
  std::size_t w_stride = 0;
  std::size_t rows = 0;
  const float* x = nullptr;  // tokens x x_stride, zero between cols and padded_cols
  std::size_t x_stride = 0;
  std::size_t tokens = 0;
  std::size_t padded_cols = 0;  // a multiple of kDotLanes
  float* y = nullptr;           // tokens x y_stride
  std::size_t y_stride = 0;
};

using PanelDotKernel = void(const PanelDot& dot);

void PanelDotScalar(const PanelDot& dot);
void PanelDotAvx2(const PanelDot& dot);
void PanelDotAvx512(const PanelDot& dot);

}  // namespace ingot::loader
