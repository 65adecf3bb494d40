// lanes_scalar.h's F of 8 lanes and D of 4: AVX2, FMA and F16C.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace ingot {
namespace {

struct F {
  static constexpr std::size_t kLanes = 8;
  __m256 x;

  static F Set(float f) { return {_mm256_set1_ps(f)}; }
  static F Load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void Store(float* p) const { _mm256_storeu_ps(p, x); }
  static F Load(const float* p, std::size_t n) {
    return n >= kLanes ? Load(p) : F{_mm256_maskload_ps(p, First(n))};
  }
  void Store(float* p, std::size_t n) const {
    if (n >= kLanes) return Store(p);
    _mm256_maskstore_ps(p, First(n), x);
  }
  static F Keep(F v, std::size_t n) {
    return n >= kLanes ? v : F{_mm256_and_ps(v.x, _mm256_castsi256_ps(First(n)))};
  }
  static F LoadHalf(const std::uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  void StoreBytes(std::uint8_t* p) const {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), Bytes());
  }
  void StoreBytes(std::uint8_t* p, std::size_t n) const {
    if (n >= kLanes) return StoreBytes(p);
    const std::int64_t all = _mm_cvtsi128_si64(Bytes());
    __builtin_memcpy(p, &all, n);
  }
  static F LoadBytes(const std::uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))};
  }
  static F Lookup8(const float* table, F i) {
    return {_mm256_permutevar8x32_ps(_mm256_loadu_ps(table), _mm256_cvtps_epi32(i.x))};
  }
  static F MulAdd(F a, F b, F c) { return {_mm256_fmadd_ps(a.x, b.x, c.x)}; }
  static F Min(F a, F b) { return {_mm256_min_ps(a.x, b.x)}; }
  static F Max(F a, F b) { return {_mm256_max_ps(a.x, b.x)}; }
  static F IfGreater(F a, F b, F then, F otherwise) {
    return {_mm256_blendv_ps(otherwise.x, then.x, _mm256_cmp_ps(a.x, b.x, _CMP_GT_OQ))};
  }
  static std::uint32_t GreaterMask(F a, F b) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.x, b.x, _CMP_GT_OQ)));
  }
  static F XorLanes(F v, std::uint32_t flip) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i from = _mm256_xor_si256(index, _mm256_set1_epi32(static_cast<int>(flip)));
    return {_mm256_permutevar8x32_ps(v.x, from)};
  }
  static F Round(F a) {
    return {_mm256_round_ps(a.x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static F Pow2(F n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.x), _mm256_set1_epi32(127));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23))};
  }
  friend F operator+(F a, F b) { return {_mm256_add_ps(a.x, b.x)}; }
  friend F operator-(F a, F b) { return {_mm256_sub_ps(a.x, b.x)}; }
  friend F operator*(F a, F b) { return {_mm256_mul_ps(a.x, b.x)}; }
  friend F operator/(F a, F b) { return {_mm256_div_ps(a.x, b.x)}; }

  float Sum() const {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  float Least() const {
    const __m128 four = _mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_min_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)));
  }
  float Greatest() const {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  // Lanes with the stride's bit get partner - self, the others partner + self.
  F Walsh() const {
    __m256 a = x;
    __m256 b = _mm256_permute_ps(a, 0xb1);
    a = _mm256_blend_ps(_mm256_add_ps(b, a), _mm256_sub_ps(b, a), 0xaa);
    b = _mm256_permute_ps(a, 0x4e);
    a = _mm256_blend_ps(_mm256_add_ps(b, a), _mm256_sub_ps(b, a), 0xcc);
    b = _mm256_permute2f128_ps(a, a, 1);
    return {_mm256_blend_ps(_mm256_add_ps(b, a), _mm256_sub_ps(b, a), 0xf0)};
  }

 private:
  static __m256i First(std::size_t n) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), index);
  }
  __m128i Bytes() const {
    const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(x), _mm256_setzero_si256());
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm_setzero_si128());
  }
};

struct D {
  static constexpr std::size_t kLanes = 4;
  __m256d x;

  static D Set(double f) { return {_mm256_set1_pd(f)}; }
  static D Load(const double* p) { return {_mm256_loadu_pd(p)}; }
  void Store(double* p) const { _mm256_storeu_pd(p, x); }
  static D NegMulAdd(D a, D b, D c) { return {_mm256_fnmadd_pd(a.x, b.x, c.x)}; }
  friend D operator/(D a, D b) { return {_mm256_div_pd(a.x, b.x)}; }
};

struct DoubleSum {
  __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
  void Add(F v) {
    low = low + _mm256_cvtps_pd(_mm256_castps256_ps128(v.x));
    high = high + _mm256_cvtps_pd(_mm256_extractf128_ps(v.x, 1));
  }
  double Total() const {
    const __m256d s = low + high;
    const __m128d t = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(t, _mm_unpackhi_pd(t, t)));
  }
};

}  // namespace
}  // namespace ingot
