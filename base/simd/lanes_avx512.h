// lanes_scalar.h's F of 16 lanes and D of 8: AVX-512 F, BW, VL and DQ.
#pragma once

// GCC 12 takes its own headers' undefined vectors for uninitialised ones (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace ingot {
namespace {

struct F {
  static constexpr std::size_t kLanes = 16;
  __m512 x;

  static F Set(float f) { return {_mm512_set1_ps(f)}; }
  static F Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void Store(float* p) const { _mm512_storeu_ps(p, x); }
  static F Load(const float* p, std::size_t n) { return {_mm512_maskz_loadu_ps(First(n), p)}; }
  void Store(float* p, std::size_t n) const { _mm512_mask_storeu_ps(p, First(n), x); }
  static F Keep(F v, std::size_t n) { return {_mm512_maskz_mov_ps(First(n), v.x)}; }
  static F LoadHalf(const std::uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  void StoreBytes(std::uint8_t* p) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
  }
  void StoreBytes(std::uint8_t* p, std::size_t n) const {
    _mm_mask_storeu_epi8(p, First(n), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
  }
  static F LoadBytes(const std::uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))};
  }
  static F Lookup8(const float* table, F i) {
    const __m512 wide = _mm512_castps256_ps512(_mm256_loadu_ps(table));
    return {_mm512_permutexvar_ps(_mm512_cvtps_epi32(i.x), wide)};
  }
  static F MulAdd(F a, F b, F c) { return {_mm512_fmadd_ps(a.x, b.x, c.x)}; }
  static F Min(F a, F b) { return {_mm512_min_ps(a.x, b.x)}; }
  static F Max(F a, F b) { return {_mm512_max_ps(a.x, b.x)}; }
  static F IfGreater(F a, F b, F then, F otherwise) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.x, b.x, _CMP_GT_OQ), otherwise.x, then.x)};
  }
  static std::uint32_t GreaterMask(F a, F b) { return _mm512_cmp_ps_mask(a.x, b.x, _CMP_GT_OQ); }
  static F XorLanes(F v, std::uint32_t flip) {
    const __m512i index = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i from = _mm512_xor_si512(index, _mm512_set1_epi32(static_cast<int>(flip)));
    return {_mm512_permutexvar_ps(from, v.x)};
  }
  static F Round(F a) { return {_mm512_roundscale_ps(a.x, 0)}; }
  static F Pow2(F n) { return {_mm512_scalef_ps(_mm512_set1_ps(1.0f), n.x)}; }
  friend F operator+(F a, F b) { return {_mm512_add_ps(a.x, b.x)}; }
  friend F operator-(F a, F b) { return {_mm512_sub_ps(a.x, b.x)}; }
  friend F operator*(F a, F b) { return {_mm512_mul_ps(a.x, b.x)}; }
  friend F operator/(F a, F b) { return {_mm512_div_ps(a.x, b.x)}; }

  float Sum() const {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  float Least() const {
    const __m256 eight = _mm256_min_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 four = _mm_min_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_min_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)));
  }
  float Greatest() const {
    const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  // Lanes with the stride's bit get partner - self, the others partner + self.
  F Walsh() const {
    __m512 a = x;
    __m512 b = _mm512_permute_ps(a, 0xb1);
    a = _mm512_mask_sub_ps(_mm512_add_ps(b, a), 0xaaaa, b, a);
    b = _mm512_permute_ps(a, 0x4e);
    a = _mm512_mask_sub_ps(_mm512_add_ps(b, a), 0xcccc, b, a);
    b = _mm512_shuffle_f32x4(a, a, 0xb1);
    a = _mm512_mask_sub_ps(_mm512_add_ps(b, a), 0xf0f0, b, a);
    b = _mm512_shuffle_f32x4(a, a, 0x4e);
    return {_mm512_mask_sub_ps(_mm512_add_ps(b, a), 0xff00, b, a)};
  }

 private:
  static __mmask16 First(std::size_t n) {
    return static_cast<__mmask16>(n >= kLanes ? 0xffffu : (1u << n) - 1u);
  }
};

struct D {
  static constexpr std::size_t kLanes = 8;
  __m512d x;

  static D Set(double f) { return {_mm512_set1_pd(f)}; }
  static D Load(const double* p) { return {_mm512_loadu_pd(p)}; }
  void Store(double* p) const { _mm512_storeu_pd(p, x); }
  static D NegMulAdd(D a, D b, D c) { return {_mm512_fnmadd_pd(a.x, b.x, c.x)}; }
  friend D operator/(D a, D b) { return {_mm512_div_pd(a.x, b.x)}; }
};

struct DoubleSum {
  __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
  void Add(F v) {
    low = low + _mm512_cvtps_pd(_mm512_castps512_ps256(v.x));
    high = high + _mm512_cvtps_pd(_mm512_extractf32x8_ps(v.x, 1));
  }
  double Total() const { return _mm512_reduce_add_pd(low + high); }
};

}  // namespace
}  // namespace ingot
