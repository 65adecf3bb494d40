#include "codecs/planes/bitshift_levels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {

void BitshiftRowAvx512(const std::uint8_t* codes, std::size_t count, int bits, std::uint16_t mask,
                       std::uint16_t* states, std::uint8_t* bytes) {
  std::size_t j = 0;
  const __m128i shift = _mm_cvtsi32_si128(bits);
  const __m512i factor = _mm512_set1_epi32(static_cast<int>(kBitshiftFactor));
  const __m512i offset = _mm512_set1_epi32(static_cast<int>(kBitshiftOffset));
  const __m512i ones = _mm512_set1_epi8(1), two = _mm512_set1_epi32(2);
  for (; j + 16 <= count; j += 16) {
    const __m256i code =
        _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + j)));
    __m256i state = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(states + j));
    state = _mm256_and_si256(_mm256_or_si256(_mm256_sll_epi16(state, shift), code),
                             _mm256_set1_epi16(static_cast<short>(mask)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(states + j), state);
    const __m512i x =
        _mm512_add_epi32(_mm512_mullo_epi32(_mm512_cvtepu16_epi32(state), factor), offset);
    const __m512i sum = _mm512_srli_epi32(_mm512_dpbusd_epi32(two, x, ones), 2);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes + j), _mm512_cvtepi32_epi8(sum));
  }
  for (; j < count; ++j) {
    states[j] = static_cast<std::uint16_t>((states[j] << bits | codes[j]) & mask);
    bytes[j] = BitshiftByte(states[j]);
  }
}

}  // namespace ingot::codecs
#endif
