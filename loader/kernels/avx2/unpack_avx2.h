// Bit fields to a byte a code, AVX2: what row decoders and the int product share.
//
// Thread rule: pure functions.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace ingot::loader {
namespace {

// One field; returns its end. Whole parts of 64 codes by vectors, the short last block by bytes.
inline const std::uint8_t* UnpackField(const std::uint8_t* field, int width, int shift,
                                       std::uint64_t cols, std::uint8_t* codes) {
  const auto parts = static_cast<std::uint64_t>(8 / width);
  const std::uint64_t block = 64 * parts;
  const int low_mask = (1 << width) - 1;
  const __m256i mask = _mm256_set1_epi8(static_cast<char>(low_mask));
  for (std::uint64_t begin = 0; begin < cols; begin += block) {
    const std::uint64_t n = cols - begin < block ? cols - begin : block;
    const std::uint64_t stride = (n + parts - 1) / parts;
    for (std::uint64_t p = 0; p * stride < n; ++p) {
      const int bit = static_cast<int>(p) * width;
      std::uint8_t* out = codes + begin + p * stride;
      const std::uint64_t count = n - p * stride < stride ? n - p * stride : stride;
      std::uint64_t j = 0;
      for (; j + 32 <= count; j += 32) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(field + j));
        __m256i part = _mm256_and_si256(_mm256_srli_epi16(bytes, bit), mask);
        part = _mm256_slli_epi16(part, shift);
        auto* at = reinterpret_cast<__m256i*>(out + j);
        if (shift > 0) part = _mm256_or_si256(part, _mm256_loadu_si256(at));
        _mm256_storeu_si256(at, part);
      }
      for (; j < count; ++j) {
        const int code = ((field[j] >> bit) & low_mask) << shift;
        out[j] = static_cast<std::uint8_t>((shift > 0 ? out[j] : 0) | code);
      }
    }
    field += stride;
  }
  return field;
}

}  // namespace
}  // namespace ingot::loader
