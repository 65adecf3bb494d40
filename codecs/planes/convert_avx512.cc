#include "codecs/planes/convert_rows.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {
namespace {

__mmask16 Lanes(std::size_t n) {
  return n >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << n) - 1u);
}

}  // namespace

void Bf16ToFloatAvx512(const std::uint8_t* in, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = Lanes(n - i);
    const __m256i h = _mm256_maskz_loadu_epi16(lanes, in + 2 * i);
    _mm512_mask_storeu_epi32(out + i, lanes, _mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
  }
}

void Fp16ToFloatAvx512(const std::uint8_t* in, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = Lanes(n - i);
    const __m256i h = _mm256_maskz_loadu_epi16(lanes, in + 2 * i);
    const __m512 f = _mm512_cvtph_ps(h);
    // F16C sets the quiet bit of a signalling NaN; these lanes are put together from their bits.
    const __mmask16 nan = _mm512_cmp_ps_mask(f, f, _CMP_UNORD_Q);
    const __m512i w = _mm512_cvtepu16_epi32(h);
    const __m512i sign = _mm512_slli_epi32(_mm512_and_si512(w, _mm512_set1_epi32(0x8000)), 16);
    const __m512i payload = _mm512_slli_epi32(_mm512_and_si512(w, _mm512_set1_epi32(0x3ff)), 13);
    const __m512i kept =
        _mm512_or_si512(_mm512_or_si512(sign, payload), _mm512_set1_epi32(0x7f800000));
    _mm512_mask_storeu_epi32(out + i, lanes,
                             _mm512_mask_mov_epi32(_mm512_castps_si512(f), nan, kept));
  }
}

}  // namespace ingot::codecs
#endif
