#include "codecs/planes/convert_rows.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {
namespace {

// One value, NaN payload kept: F16C would set the quiet bit of a signalling NaN.
std::uint32_t Fp16Bits(std::uint32_t h) {
  const std::uint32_t sign = (h & 0x8000u) << 16, magnitude = h & 0x7fffu;
  if (magnitude >= 0x7c00u) return sign | 0x7f800000u | (magnitude & 0x3ffu) << 13;
  return static_cast<std::uint32_t>(
      _mm_cvtsi128_si32(_mm_castps_si128(_mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(h))))));
}

void Fp16Tail(const std::uint8_t* in, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) {
    std::uint16_t h;
    __builtin_memcpy(&h, in + 2 * i, 2);
    const std::uint32_t bits = Fp16Bits(h);
    __builtin_memcpy(out + i, &bits, 4);
  }
}

}  // namespace

void Bf16ToFloatAvx2(const std::uint8_t* in, std::size_t n, float* out) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + 2 * i));
    const __m256i w = _mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), w);
  }
  for (; i < n; ++i) {
    std::uint16_t h;
    __builtin_memcpy(&h, in + 2 * i, 2);
    const std::uint32_t bits = static_cast<std::uint32_t>(h) << 16;
    __builtin_memcpy(out + i, &bits, 4);
  }
}

void Fp16ToFloatAvx2(const std::uint8_t* in, std::size_t n, float* out) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + 2 * i));
    const __m256 f = _mm256_cvtph_ps(h);
    if (_mm256_movemask_ps(_mm256_cmp_ps(f, f, _CMP_UNORD_Q)) != 0)
      Fp16Tail(in + 2 * i, 8, out + i);
    else
      _mm256_storeu_ps(out + i, f);
  }
  Fp16Tail(in + 2 * i, n - i, out + i);
}

}  // namespace ingot::codecs
#endif
