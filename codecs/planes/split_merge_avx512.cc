#include "codecs/planes/split_merge.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {

void MergeBf16Avx512(const std::uint8_t* exponents, const std::uint8_t* rest, std::size_t n,
                     std::uint8_t* out) {
  const __m512i low = _mm512_set1_epi16(0x7f), high = _mm512_set1_epi16(0x80);
  std::size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m512i e =
        _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(exponents + i)));
    const __m512i r =
        _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(rest + i)));
    const __m512i sign = _mm512_slli_epi16(_mm512_and_si512(r, high), 8);
    const __m512i h =
        _mm512_or_si512(_mm512_or_si512(sign, _mm512_slli_epi16(e, 7)), _mm512_and_si512(r, low));
    _mm512_storeu_si512(out + 2 * i, h);
  }
  MergeBf16Scalar(exponents + i, rest + i, n - i, out + 2 * i);
}

}  // namespace ingot::codecs
#endif
