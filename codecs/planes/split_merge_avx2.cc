#include "codecs/planes/split_merge.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {

void MergeBf16Avx2(const std::uint8_t* exponents, const std::uint8_t* rest, std::size_t n,
                   std::uint8_t* out) {
  const __m256i low = _mm256_set1_epi16(0x7f), high = _mm256_set1_epi16(0x80);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256i e =
        _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(exponents + i)));
    const __m256i r =
        _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rest + i)));
    const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(r, high), 8);
    const __m256i h =
        _mm256_or_si256(_mm256_or_si256(sign, _mm256_slli_epi16(e, 7)), _mm256_and_si256(r, low));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 2 * i), h);
  }
  MergeBf16Scalar(exponents + i, rest + i, n - i, out + 2 * i);
}

}  // namespace ingot::codecs
#endif
