// Vectors of float (F) and double (D) of the instruction set that the including file is compiled
// for, with one meaning on all of them: every operation is rounded once, MulAdd is fused, Min and
// Max return the second operand where the comparison is false. The including file defines
// INGOT_LANES to 1 (scalar), 8 (AVX2) or 16 (AVX-512), the floats of a vector; everything here is
// in that file's unnamed namespace.
#include <cstddef>
#include <cstdint>

#if INGOT_LANES > 1
#include <immintrin.h>
#else
#include <cmath>
#endif

namespace ingot::codecs {
namespace {

#if INGOT_LANES == 16

struct F {
  static constexpr std::size_t kLanes = 16;
  __m512 x;

  static F Set(float f) { return {_mm512_set1_ps(f)}; }
  static F Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void Store(float* p) const { _mm512_storeu_ps(p, x); }
  // REQUIRES: whole numbers in [0, 255].
  void StoreBytes(std::uint8_t* p) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
  }
  static F LoadBytes(const std::uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))};
  }
  // table[i]. REQUIRES: whole numbers in [0, 8).
  static F Lookup8(const float* table, F i) {
    const __m512 wide = _mm512_castps256_ps512(_mm256_loadu_ps(table));
    return {_mm512_permutexvar_ps(_mm512_cvtps_epi32(i.x), wide)};
  }
  static F MulAdd(F a, F b, F c) { return {_mm512_fmadd_ps(a.x, b.x, c.x)}; }
  static F Min(F a, F b) { return {_mm512_min_ps(a.x, b.x)}; }
  static F Max(F a, F b) { return {_mm512_max_ps(a.x, b.x)}; }
  // a > b ? then : otherwise.
  static F IfGreater(F a, F b, F then, F otherwise) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.x, b.x, _CMP_GT_OQ), otherwise.x, then.x)};
  }
  friend F operator+(F a, F b) { return {_mm512_add_ps(a.x, b.x)}; }
  friend F operator-(F a, F b) { return {_mm512_sub_ps(a.x, b.x)}; }
  friend F operator*(F a, F b) { return {_mm512_mul_ps(a.x, b.x)}; }
  friend F operator/(F a, F b) { return {_mm512_div_ps(a.x, b.x)}; }
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

#elif INGOT_LANES == 8

struct F {
  static constexpr std::size_t kLanes = 8;
  __m256 x;

  static F Set(float f) { return {_mm256_set1_ps(f)}; }
  static F Load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void Store(float* p) const { _mm256_storeu_ps(p, x); }
  void StoreBytes(std::uint8_t* p) const {
    const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(x), _mm256_setzero_si256());
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm_setzero_si128());
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), bytes);
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
  friend F operator+(F a, F b) { return {_mm256_add_ps(a.x, b.x)}; }
  friend F operator-(F a, F b) { return {_mm256_sub_ps(a.x, b.x)}; }
  friend F operator*(F a, F b) { return {_mm256_mul_ps(a.x, b.x)}; }
  friend F operator/(F a, F b) { return {_mm256_div_ps(a.x, b.x)}; }
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

#else

struct F {
  static constexpr std::size_t kLanes = 1;
  float x;

  static F Set(float f) { return {f}; }
  static F Load(const float* p) { return {*p}; }
  void Store(float* p) const { *p = x; }
  void StoreBytes(std::uint8_t* p) const { *p = static_cast<std::uint8_t>(x); }
  static F LoadBytes(const std::uint8_t* p) { return {static_cast<float>(*p)}; }
  static F Lookup8(const float* table, F i) { return {table[static_cast<int>(i.x)]}; }
  static F MulAdd(F a, F b, F c) { return {std::fma(a.x, b.x, c.x)}; }
  static F Min(F a, F b) { return {a.x < b.x ? a.x : b.x}; }
  static F Max(F a, F b) { return {a.x > b.x ? a.x : b.x}; }
  static F IfGreater(F a, F b, F then, F otherwise) { return a.x > b.x ? then : otherwise; }
  friend F operator+(F a, F b) { return {a.x + b.x}; }
  friend F operator-(F a, F b) { return {a.x - b.x}; }
  friend F operator*(F a, F b) { return {a.x * b.x}; }
  friend F operator/(F a, F b) { return {a.x / b.x}; }
};

struct D {
  static constexpr std::size_t kLanes = 1;
  double x;

  static D Set(double f) { return {f}; }
  static D Load(const double* p) { return {*p}; }
  void Store(double* p) const { *p = x; }
  static D NegMulAdd(D a, D b, D c) { return {std::fma(-a.x, b.x, c.x)}; }
  friend D operator/(D a, D b) { return {a.x / b.x}; }
};

#endif

}  // namespace
}  // namespace ingot::codecs
