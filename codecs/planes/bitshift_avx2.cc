#include "codecs/planes/bitshift_levels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {
namespace {

// Bytes of eight states as 32-bit numbers.
__m256i Sums(__m256i states) {
  const __m256i x = _mm256_add_epi32(
      _mm256_mullo_epi32(states, _mm256_set1_epi32(static_cast<int>(kBitshiftFactor))),
      _mm256_set1_epi32(static_cast<int>(kBitshiftOffset)));
  const __m256i pairs = _mm256_maddubs_epi16(x, _mm256_set1_epi8(1));
  const __m256i all = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  return _mm256_srli_epi32(_mm256_add_epi32(all, _mm256_set1_epi32(2)), 2);
}

}  // namespace

void BitshiftRowAvx2(const std::uint8_t* codes, std::size_t count, int bits, std::uint16_t mask,
                     std::uint16_t* states, std::uint8_t* bytes) {
  std::size_t j = 0;
  const __m128i shift = _mm_cvtsi32_si128(bits);
  for (; j + 16 <= count; j += 16) {
    const __m256i code =
        _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + j)));
    __m256i state = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(states + j));
    state = _mm256_and_si256(_mm256_or_si256(_mm256_sll_epi16(state, shift), code),
                             _mm256_set1_epi16(static_cast<short>(mask)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(states + j), state);
    const __m256i low = Sums(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(state)));
    const __m256i high = Sums(_mm256_cvtepu16_epi32(_mm256_extracti128_si256(state, 1)));
    // Lanes of 128 bits pack apart: 0 2 1 3 puts them in order.
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(bytes + j),
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  }
  for (; j < count; ++j) {
    states[j] = static_cast<std::uint16_t>((states[j] << bits | codes[j]) & mask);
    bytes[j] = BitshiftByte(states[j]);
  }
}

}  // namespace ingot::codecs
#endif
