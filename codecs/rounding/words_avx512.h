// words_scalar.h's Words in a register of AVX-512, products by VNNI.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace ingot::codecs {
namespace {

struct Words {
  static constexpr std::size_t kLanes = 32;
  __m512i x;

  static Words Set(std::int16_t w) { return {_mm512_set1_epi16(w)}; }
  static Words Load(const std::int16_t* p) { return {_mm512_loadu_si512(p)}; }
  static void FromFloats(const float* x, std::size_t n, float middle, float factor,
                         std::int16_t* out) {
    const __m512 m = _mm512_set1_ps(middle), f = _mm512_set1_ps(factor);
    for (std::size_t at = 0; at < kLanes; at += 16) {
      const std::size_t left = n > at ? n - at : 0;
      const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffffu : (1u << left) - 1u);
      const __m512 v = _mm512_mask_loadu_ps(m, mask, x + at);
      const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_sub_ps(v, m), f));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + at), _mm512_cvtepi32_epi16(rounded));
    }
  }
  static Words MulRound(const Words& a, const Words& b) { return {_mm512_mulhrs_epi16(a.x, b.x)}; }
  static Words MulHigh(const Words& a, const Words& b) { return {_mm512_mulhi_epi16(a.x, b.x)}; }
  static Words Clamp(const Words& v, const Words& low, const Words& high) {
    return {_mm512_min_epi16(_mm512_max_epi16(v.x, low.x), high.x)};
  }
};

struct WordSum {
  __m512i sum = _mm512_setzero_si512();
  void AddProducts(const Words& a, const Words& b) { sum = _mm512_dpwssd_epi32(sum, a.x, b.x); }
  std::int32_t Total() const { return _mm512_reduce_add_epi32(sum); }
};

}  // namespace
}  // namespace ingot::codecs
