#include "model/source/hf/weight_scales.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"
#include "base/float_formats.h"

namespace ingot::model {

std::vector<std::string> ScaleNames(std::string_view weight) {
  if (!weight.ends_with("weight")) return {};
  const std::string name(weight);
  return {name + "_scale_inv", name + "_scale",
          name.substr(0, name.size() - std::string_view("weight").size()) + "SCB"};
}

Result<WeightScales> LayOutScales(std::vector<float> values,
                                  std::span<const std::uint64_t> scale_shape, std::uint64_t rows,
                                  std::uint64_t cols, std::uint64_t block_rows,
                                  std::uint64_t block_cols) {
  WeightScales scales;
  const bool one_column =
      scale_shape.size() == 1 || (scale_shape.size() == 2 && scale_shape[1] == 1);
  if (values.size() == 1) {
    scales.block_rows = rows;
    scales.block_cols = cols;
  } else if (one_column && scale_shape[0] == rows) {
    scales.block_cols = cols;
  } else if (scale_shape.size() == 2 && scale_shape[0] == CeilDiv(rows, block_rows) &&
             scale_shape[1] == CeilDiv(cols, block_cols)) {
    scales.block_rows = block_rows;
    scales.block_cols = block_cols;
    scales.blocks_per_row = scale_shape[1];
  } else {
    return Corruption(
        fmt::format("scales of shape [{}] do not fit {} x {} weights in blocks of {} x {}",
                    fmt::join(scale_shape, ", "), rows, cols, block_rows, block_cols));
  }
  scales.values = std::move(values);
  return scales;
}

void ApplyScales(const WeightScales& scales, DType dtype, std::uint64_t first_row,
                 std::uint64_t cols, std::span<const std::uint8_t> codes, std::span<float> out) {
  std::array<float, 256> value_of;
  for (int code = 0; code < 256; ++code)
    value_of[code] = dtype == DType::kI8 ? static_cast<float>(static_cast<std::int8_t>(code))
                                         : FromFp8E4m3(static_cast<std::uint8_t>(code));
  const std::uint64_t rows = cols == 0 ? 0 : codes.size() / cols;
  for (std::uint64_t r = 0; r < rows; ++r) {
    const float* row_scales =
        scales.values.data() + (first_row + r) / scales.block_rows * scales.blocks_per_row;
    for (std::uint64_t begin = 0; begin < cols; begin += scales.block_cols) {
      const float scale = row_scales[begin / scales.block_cols];
      const std::uint64_t end = std::min(cols, begin + scales.block_cols);
      for (std::uint64_t i = r * cols + begin; i < r * cols + end; ++i)
        out[i] = value_of[codes[i]] * scale;
    }
  }
}

}  // namespace ingot::model
