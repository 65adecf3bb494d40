// n-bit numbers of a row in byte arrays that SIMD unpacks with shifts and masks alone: fields of 8,
// 4, 2 and 1 bits, each in blocks of 64 bytes whose byte j holds codes j, j + 64, ...
// (docs/codecs.md, 2).
//
// Thread rule: pure functions.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ingot::codecs {

inline constexpr std::uint64_t kFieldBlockBytes = 64;

// Bytes of one field of `width` (8, 4, 2, 1) bits over a row of `cols` codes.
constexpr std::uint64_t FieldBytes(int width, std::uint64_t cols) {
  if (width == 8) return cols;
  const auto per_byte = static_cast<std::uint64_t>(8 / width);
  const std::uint64_t block = kFieldBlockBytes * per_byte;
  return kFieldBlockBytes * (cols / block) + (cols % block + per_byte - 1) / per_byte;
}

// The width of the field that starts at bit `shift` of an n-bit code. REQUIRES: shift < bits.
constexpr int FieldWidth(int bits, int shift) {
  const int left = bits - shift;
  return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

// Bytes of a row of `cols` codes of `bits` bits: the sum over its fields.
constexpr std::uint64_t CodeRowBytes(int bits, std::uint64_t cols) {
  std::uint64_t bytes = 0;
  for (int shift = 0; shift < bits; shift += FieldWidth(bits, shift))
    bytes += FieldBytes(FieldWidth(bits, shift), cols);
  return bytes;
}

// codes[i] |= field value of code i << shift. REQUIRES: FieldBytes(width, cols) bytes at `field`.
template <typename Code>
void UnpackField(const std::uint8_t* field, int width, int shift, std::uint64_t cols, Code* codes) {
  const int per_byte = 8 / width;
  const auto mask = static_cast<std::uint8_t>((1u << width) - 1u);
  const std::uint64_t block = width == 8 ? cols : kFieldBlockBytes * per_byte;
  for (std::uint64_t begin = 0; begin < cols; begin += block) {
    const std::uint64_t n = std::min(block, cols - begin);
    const std::uint64_t stride = (n + per_byte - 1) / per_byte;
    for (int k = 0; k * stride < n; ++k) {
      Code* out = codes + begin + k * stride;
      const std::uint64_t count = std::min(stride, n - k * stride);
      for (std::uint64_t j = 0; j < count; ++j)
        out[j] = static_cast<Code>(out[j] | ((field[j] >> (k * width)) & mask) << shift);
    }
    field += stride;
  }
}

// Bits [shift, shift + width) of every code into `field`, whose bytes must be zero before.
template <typename Code>
void PackField(const Code* codes, int width, int shift, std::uint64_t cols, std::uint8_t* field) {
  const int per_byte = 8 / width;
  const auto mask = static_cast<std::uint8_t>((1u << width) - 1u);
  const std::uint64_t block = width == 8 ? cols : kFieldBlockBytes * per_byte;
  for (std::uint64_t begin = 0; begin < cols; begin += block) {
    const std::uint64_t n = std::min(block, cols - begin);
    const std::uint64_t stride = (n + per_byte - 1) / per_byte;
    for (int k = 0; k * stride < n; ++k) {
      const Code* in = codes + begin + k * stride;
      const std::uint64_t count = std::min(stride, n - k * stride);
      for (std::uint64_t j = 0; j < count; ++j)
        field[j] = static_cast<std::uint8_t>(field[j] | ((in[j] >> shift) & mask) << (k * width));
    }
    field += stride;
  }
}

// A row of codes. REQUIRES: CodeRowBytes(bits, cols) bytes at `row`; `codes` is overwritten.
template <typename Code>
void UnpackCodes(const std::uint8_t* row, int bits, std::uint64_t cols, Code* codes) {
  std::fill(codes, codes + cols, Code{0});
  for (int shift = 0; shift < bits;) {
    const int width = FieldWidth(bits, shift);
    UnpackField(row, width, shift, cols, codes);
    row += FieldBytes(width, cols);
    shift += width;
  }
}

// The inverse; every byte of the row is written.
template <typename Code>
void PackCodes(const Code* codes, int bits, std::uint64_t cols, std::uint8_t* row) {
  std::fill(row, row + CodeRowBytes(bits, cols), std::uint8_t{0});
  for (int shift = 0; shift < bits;) {
    const int width = FieldWidth(bits, shift);
    PackField(codes, width, shift, cols, row);
    row += FieldBytes(width, cols);
    shift += width;
  }
}

}  // namespace ingot::codecs
