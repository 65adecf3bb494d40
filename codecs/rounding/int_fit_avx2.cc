#include "codecs/rounding/int_fit.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {
namespace {

__m256i LaneMask(std::size_t n) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n > 8 ? 8 : static_cast<int>(n)), index);
}
std::size_t Above8(std::size_t n) { return n > 8 ? n - 8 : 0; }

struct V {
  __m256 a, b;

  static V Set(float f) { return {_mm256_set1_ps(f), _mm256_set1_ps(f)}; }
  static V Load(const float* p, std::size_t n) {
    if (n >= 16) return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
    if (n <= 8) return {_mm256_maskload_ps(p, LaneMask(n)), _mm256_setzero_ps()};
    return {_mm256_loadu_ps(p), _mm256_maskload_ps(p + 8, LaneMask(n - 8))};
  }
  static V Keep(V v, std::size_t n) {
    if (n >= 16) return v;
    return {_mm256_and_ps(v.a, _mm256_castsi256_ps(LaneMask(n))),
            _mm256_and_ps(v.b, _mm256_castsi256_ps(LaneMask(Above8(n))))};
  }
  void Store(float* p, std::size_t n) const {
    if (n >= 16) {
      _mm256_storeu_ps(p, a);
      _mm256_storeu_ps(p + 8, b);
      return;
    }
    _mm256_maskstore_ps(p, LaneMask(n), a);
    if (n > 8) _mm256_maskstore_ps(p + 8, LaneMask(n - 8), b);
  }
  void StoreCodes(std::uint8_t* p, std::size_t n) const {
    const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
    if (n >= 16) return _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
    alignas(16) std::uint8_t all[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(all), bytes);
    __builtin_memcpy(p, all, n);
  }
  static V Min(V x, V y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
  static V Max(V x, V y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
  // x * y + z, rounded once.
  static V MulAdd(V x, V y, V z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
  }
  friend V operator+(V x, V y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
  friend V operator-(V x, V y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
  friend V operator*(V x, V y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }

  float Sum() const {
    const __m256 h = _mm256_add_ps(a, b);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
  }
  float Least() const {
    const __m256 h = _mm256_min_ps(a, b);
    __m128 q = _mm_min_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_min_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_min_ss(q, _mm_shuffle_ps(q, q, 1)));
  }
  float Greatest() const {
    const __m256 h = _mm256_max_ps(a, b);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
  }
};

}  // namespace
}  // namespace ingot::codecs

#include "codecs/rounding/int_fit_body.h"

namespace ingot::codecs {

const IntFitKernels kIntFitAvx2 = {AbsMaxBits, FitRow, RoundRow, SumSquares};

}  // namespace ingot::codecs
#endif
