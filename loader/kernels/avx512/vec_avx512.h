// AVX-512 (F, BW, VL, DQ) primitives of vectorised bodies: Load, Store, LoadHalf (16 float16),
// Splat, Fma(a, b, c) = a * b + c, Max, Min, Round (to nearest even), Pow2(n) for integral n,
// Less(a, b) -> Mask, Select(mask, a, b) = mask ? a : b, Sum, MaxOf, DoubleSum. Everything has
// internal linkage: only files compiled for this instruction set may include it.
#pragma once

// GCC 12 takes its own headers' undefined vectors for uninitialised ones (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace ingot::loader {
namespace {

using Vec = __m512;
using Mask = __mmask16;
constexpr std::size_t kLanes = 16;

static inline Vec Load(const float* p) { return _mm512_loadu_ps(p); }
static inline void Store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
static inline Vec LoadHalf(const std::uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
static inline Vec Splat(float x) { return _mm512_set1_ps(x); }
static inline Vec Fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
// Of a NaN and a number, Max and Min return their second argument.
static inline Vec Max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
static inline Vec Min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
static inline Vec Round(Vec x) { return _mm512_roundscale_ps(x, 0); }
static inline Vec Pow2(Vec n) { return _mm512_scalef_ps(_mm512_set1_ps(1.0f), n); }
static inline Mask Less(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline Vec Select(Mask m, Vec a, Vec b) { return _mm512_mask_blend_ps(m, b, a); }
static inline float Sum(Vec v) { return _mm512_reduce_add_ps(v); }
static inline float MaxOf(Vec v) { return _mm512_reduce_max_ps(v); }

struct DoubleSum {
  __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
  void Add(Vec v) {
    low = low + _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    high = high + _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
  }
  double Total() const { return _mm512_reduce_add_pd(low + high); }
};

}  // namespace
}  // namespace ingot::loader
