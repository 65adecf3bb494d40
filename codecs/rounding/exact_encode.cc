#include "codecs/rounding/exact_encode.h"

#include <algorithm>
#include <cmath>

#include "codecs/planes/bit_fields.h"
#include "codecs/planes/remainder_plane.h"
#include "codecs/planes/sparse_plane.h"
#include "codecs/rounding/scale_range.h"

namespace ingot::codecs {
namespace {

std::uint32_t SourceBits(DType dtype, const std::uint8_t* row, std::uint64_t i) {
  if (DTypeBytes(dtype) == 2) return LoadLe<std::uint16_t>(row + 2 * i);
  return LoadLe<std::uint32_t>(row + 4 * i);
}

void SplitBf16Row(const std::uint8_t* row, std::uint64_t cols, std::uint8_t* exponents,
                  std::uint8_t* rest) {
  for (std::uint64_t i = 0; i < cols; ++i) {
    const std::uint32_t h = LoadLe<std::uint16_t>(row + 2 * i);
    exponents[i] = static_cast<std::uint8_t>(h >> 7);
    rest[i] = static_cast<std::uint8_t>((h >> 8 & 0x80u) | (h & 0x7fu));
  }
}

}  // namespace

std::uint16_t ToFp16Up(float value) {
  const std::uint16_t h = ToFp16(value);
  return FromFp16(h) < value ? static_cast<std::uint16_t>(h + 1) : h;
}

void SplitRow(const SplitFormat& format, const std::uint8_t* row, std::uint64_t cols,
              std::uint64_t r, Streams& streams) {
  std::uint8_t* exponents = streams[0].data() + r * cols;
  std::uint8_t* rest = streams[1].data() + r * CodeRowBytes(format.rest_bits(), cols);
  if (format.dtype == DType::kBf16) return SplitBf16Row(row, cols, exponents, rest);
  std::vector<std::uint32_t> codes(cols);
  const int m = format.mantissa_bits;
  for (std::uint64_t i = 0; i < cols; ++i) {
    const std::uint32_t bits = SourceBits(format.dtype, row, i);
    exponents[i] = static_cast<std::uint8_t>((bits >> m) & ((1u << format.exponent_bits) - 1u));
    codes[i] = (bits >> (m + format.exponent_bits)) << m | (bits & ((1u << m) - 1u));
  }
  PackCodes(codes.data(), format.rest_bits(), cols, rest);
}

void RemainderRow(DType dtype, const std::uint8_t* row, const float* acc, std::uint64_t cols,
                  std::uint64_t r, Streams& streams) {
  const std::size_t bytes = DTypeBytes(dtype);
  const int bits = static_cast<int>(8 * bytes);
  const std::uint32_t mask = bits == 32 ? ~0u : (1u << bits) - 1u;
  for (std::uint64_t i = 0; i < cols; ++i) {
    const std::uint32_t d = (OrderedBits(SourceBits(dtype, row, i), bits) -
                             OrderedBits(NearestBits(dtype, acc[i]), bits)) &
                            mask;
    const std::uint32_t negative = d >> (bits - 1);
    const std::uint32_t z = ((d << 1) ^ (0u - negative)) & mask;
    for (std::size_t b = 0; b < bytes; ++b)
      streams[b][r * cols + i] = static_cast<std::uint8_t>(z >> (8 * b));
  }
}

Result<double> Fp8Row(const Fp8Layout& layout, float* x, std::uint64_t r, Streams& streams) {
  std::uint8_t* codes = streams[0].data() + r * layout.cols;
  std::uint8_t* scales = streams[1].data() + 2 * r * layout.blocks;
  const float* table = Fp8Table();
  double error = 0;
  float largest = 0;
  for (std::uint64_t b = 0, i = 0; b < layout.blocks; ++b) {
    const std::uint64_t end = i + std::min(layout.block, layout.cols - i);
    float top = 0;
    for (std::uint64_t j = i; j < end; ++j) top = std::max(top, std::fabs(x[j]));
    if (!(top / 448.0f <= 65504.0f))
      return InvalidArgument("needs a scale of " + std::to_string(top / 448.0f) +
                             ", above fp16's 65504; store this tensor as raw or lossless_v1");
    largest = std::max(largest, top);
    const std::uint16_t scale16 = ToFp16Up(top / 448.0f);
    const float scale = FromFp16(scale16);
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    StoreLe(scales + 2 * b, scale16);
    for (; i < end; ++i) {
      codes[i] = ToFp8E4m3(x[i] * inverse);
      x[i] -= table[codes[i]] * scale;
      error += static_cast<double>(x[i]) * x[i];
    }
  }
  if (LosesFp8Row(largest)) return ScaleTooSmall(largest / 448.0f);
  return error;
}

RowOutliers TakeOutliers(double limit, float* x, std::uint64_t cols) {
  double sum = 0, squares = 0;
  for (std::uint64_t i = 0; i < cols; ++i) {
    sum += x[i];
    squares += static_cast<double>(x[i]) * x[i];
  }
  const double mean = sum / static_cast<double>(cols);
  const double variance = std::max(0.0, squares / static_cast<double>(cols) - mean * mean);
  const double reach = limit * std::sqrt(variance);
  RowOutliers outliers;
  for (std::uint64_t i = 0; i < cols; ++i) {
    // Beyond fp16 the base plane keeps the weight.
    if (!(std::fabs(x[i] - mean) > reach) || std::fabs(x[i]) > 65504.0f) continue;
    const std::uint16_t value = ToFp16(x[i]);
    if ((value & 0x7fffu) == 0) continue;
    outliers.columns.push_back(static_cast<std::uint32_t>(i));
    outliers.values.push_back(value);
    const double e = static_cast<double>(x[i]) - FromFp16(value);
    outliers.squared_error += e * e;
    x[i] = 0;
  }
  return outliers;
}

void AppendOutliers(const std::vector<RowOutliers>& rows, std::uint64_t cols, Streams& sparse) {
  const std::uint64_t count_bytes = SparseCountBytes(cols);
  const std::uint64_t column_bytes = SparseColumnBytes(cols);
  const auto append = [](std::vector<std::uint8_t>& to, std::uint32_t v, std::uint64_t bytes) {
    for (std::uint64_t b = 0; b < bytes; ++b) to.push_back(static_cast<std::uint8_t>(v >> 8 * b));
  };
  sparse[0].clear();
  for (const RowOutliers& row : rows) {
    append(sparse[0], static_cast<std::uint32_t>(row.columns.size()), count_bytes);
    for (const std::uint32_t column : row.columns) append(sparse[1], column, column_bytes);
    for (const std::uint16_t value : row.values) append(sparse[2], value, 2);
  }
}

}  // namespace ingot::codecs
