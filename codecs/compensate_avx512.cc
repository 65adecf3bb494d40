#include "codecs/compensate_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {
namespace {

struct F {
  static constexpr std::size_t kLanes = 16;
  __m512 x;

  static F Set(float f) { return {_mm512_set1_ps(f)}; }
  static F Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void Store(float* p) const { _mm512_storeu_ps(p, x); }
  static F MulAdd(F a, F b, F c) { return {_mm512_fmadd_ps(a.x, b.x, c.x)}; }
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
// Sixteen accumulators of thirty-two registers.
constexpr int kColumns = 8, kVectors = 2, kFactorTile = 8, kFactorVectors = 2;

}  // namespace
}  // namespace ingot::codecs

#include "codecs/compensate_body.h"

namespace ingot::codecs {

const CompensateKernels kCompensateAvx512 = kTable;

}  // namespace ingot::codecs
#endif
