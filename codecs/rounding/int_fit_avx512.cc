#include "codecs/rounding/int_fit.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {
namespace {

__mmask16 LaneMask(std::size_t n) {
  return n >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << n) - 1u);
}

struct V {
  __m512 v;

  static V Set(float f) { return {_mm512_set1_ps(f)}; }
  static V Load(const float* p, std::size_t n) { return {_mm512_maskz_loadu_ps(LaneMask(n), p)}; }
  static V Keep(V x, std::size_t n) { return {_mm512_maskz_mov_ps(LaneMask(n), x.v)}; }
  void Store(float* p, std::size_t n) const { _mm512_mask_storeu_ps(p, LaneMask(n), v); }
  void StoreCodes(std::uint8_t* p, std::size_t n) const {
    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v));
    _mm_mask_storeu_epi8(p, LaneMask(n), bytes);
  }
  static V Min(V x, V y) { return {_mm512_min_ps(x.v, y.v)}; }
  static V Max(V x, V y) { return {_mm512_max_ps(x.v, y.v)}; }
  // x * y + z, rounded once.
  static V MulAdd(V x, V y, V z) { return {_mm512_fmadd_ps(x.v, y.v, z.v)}; }
  friend V operator+(V x, V y) { return {_mm512_add_ps(x.v, y.v)}; }
  friend V operator-(V x, V y) { return {_mm512_sub_ps(x.v, y.v)}; }
  friend V operator*(V x, V y) { return {_mm512_mul_ps(x.v, y.v)}; }

  float Sum() const {
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
  }
  float Least() const { return _mm512_reduce_min_ps(v); }
  float Greatest() const { return _mm512_reduce_max_ps(v); }
};

}  // namespace
}  // namespace ingot::codecs

#include "codecs/rounding/int_fit_body.h"

namespace ingot::codecs {

const IntFitKernels kIntFitAvx512 = {AbsMaxBits, FitRow, RoundRow, SumSquares};

}  // namespace ingot::codecs
#endif
