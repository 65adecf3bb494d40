// AVX2, FMA and F16C primitives of vectorised bodies: Load, Store, LoadHalf (8 float16), Splat,
// Fma(a, b, c) = a * b + c, Max, Min, Round (to nearest even), Pow2(n) for integral n, Less(a, b)
// -> Mask, Select(mask, a, b) = mask ? a : b, Sum, MaxOf, DoubleSum. Everything has internal
// linkage: only files compiled for this instruction set may include it.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace ingot::loader {
namespace {

using Vec = __m256;
using Mask = __m256;
constexpr std::size_t kLanes = 8;

static inline Vec Load(const float* p) { return _mm256_loadu_ps(p); }
static inline void Store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
static inline Vec LoadHalf(const std::uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
static inline Vec Splat(float x) { return _mm256_set1_ps(x); }
static inline Vec Fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
// Of a NaN and a number, Max and Min return their second argument.
static inline Vec Max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
static inline Vec Min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
static inline Vec Round(Vec x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline Vec Pow2(Vec n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
static inline Mask Less(Vec a, Vec b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline Vec Select(Mask m, Vec a, Vec b) { return _mm256_blendv_ps(b, a, m); }
static inline float Sum(Vec v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float MaxOf(Vec v) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

struct DoubleSum {
  __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
  void Add(Vec v) {
    low = low + _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    high = high + _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
  }
  double Total() const {
    const __m256d s = low + high;
    const __m128d t = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(t, _mm_unpackhi_pd(t, t)));
  }
};

}  // namespace
}  // namespace ingot::loader
