// Weights stored as 8-bit codes beside a tensor of scales: w = code * scale. Known forms:
//   X.weight_scale      f8/i8, one scale, one a row, or one a block (compressed-tensors, FBGEMM)
//   X.weight_scale_inv  the same; DeepSeek's 128 x 128 blocks. It multiplies, too
//   X.SCB               i8, w = code * SCB[row] / 127 (bitsandbytes LLM.int8())
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"

namespace ingot::model {

// The scale at (r, c) is values[(r / block_rows) * blocks_per_row + c / block_cols].
struct WeightScales {
  std::vector<float> values;
  std::uint64_t block_rows = 1;
  std::uint64_t block_cols = 1;
  std::uint64_t blocks_per_row = 1;
};

// Names of the scale tensor that would belong to `weight`, in order of preference; empty where
// `weight` is no weight.
std::vector<std::string> ScaleNames(std::string_view weight);

// Lays `values` (row-major, of `scale_shape`) over a rows x cols weight. block_rows and block_cols
// say the size of a block where there are several in both directions. Corruption where they do not
// fit.
Result<WeightScales> LayOutScales(std::vector<float> values,
                                  std::span<const std::uint64_t> scale_shape, std::uint64_t rows,
                                  std::uint64_t cols, std::uint64_t block_rows,
                                  std::uint64_t block_cols);

// Codes of whole rows from `first_row` on to floats. REQUIRES: dtype is kF8E4m3 or kI8; out has
// codes.size() elements, a multiple of cols.
void ApplyScales(const WeightScales& scales, DType dtype, std::uint64_t first_row,
                 std::uint64_t cols, std::span<const std::uint8_t> codes, std::span<float> out);

}  // namespace ingot::model
