// Bit fields to a byte a code, AVX-512: what row decoders and the int product share.
//
// Thread rule: pure functions.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace ingot::loader {
namespace {

inline __mmask64 FirstBytes(std::uint64_t n) {
  return n >= 64 ? ~__mmask64{0} : (__mmask64{1} << n) - 1u;
}

// One part of a block: `n` codes of `width` bits at bit part * width, moved up by `shift` and
// merged into `codes` unless it is the first field.
inline void StorePart(__m512i bytes, int width, int part, int shift, std::uint64_t n,
                      std::uint8_t* codes) {
  const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << width) - 1));
  __m512i part_codes =
      _mm512_and_si512(_mm512_srli_epi16(bytes, static_cast<unsigned>(part * width)), mask);
  const __mmask64 live = FirstBytes(n);
  if (shift > 0) {
    part_codes = _mm512_slli_epi16(part_codes, static_cast<unsigned>(shift));
    part_codes = _mm512_or_si512(part_codes, _mm512_maskz_loadu_epi8(live, codes));
  }
  _mm512_mask_storeu_epi8(codes, live, part_codes);
}

// Field of `width` bits; returns its end.
inline const std::uint8_t* UnpackField(const std::uint8_t* field, int width, int shift,
                                       std::uint64_t cols, std::uint8_t* codes) {
  const int parts = 8 / width;
  const std::uint64_t block = 64u * static_cast<std::uint64_t>(parts);
  for (std::uint64_t begin = 0; begin < cols; begin += block) {
    const std::uint64_t n = cols - begin < block ? cols - begin : block;
    const std::uint64_t stride =
        (n + static_cast<std::uint64_t>(parts) - 1) / static_cast<std::uint64_t>(parts);
    const __m512i bytes = _mm512_maskz_loadu_epi8(FirstBytes(stride), field);
    for (int p = 0; p < parts; ++p) {
      const std::uint64_t at = static_cast<std::uint64_t>(p) * stride;
      if (at >= n) break;
      StorePart(bytes, width, p, shift, n - at < stride ? n - at : stride, codes + begin + at);
    }
    field += stride;
  }
  return field;
}

}  // namespace
}  // namespace ingot::loader
