#include "codecs/compensate_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {
namespace {

struct F {
  static constexpr std::size_t kLanes = 8;
  __m256 x;

  static F Set(float f) { return {_mm256_set1_ps(f)}; }
  static F Load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void Store(float* p) const { _mm256_storeu_ps(p, x); }
  static F MulAdd(F a, F b, F c) { return {_mm256_fmadd_ps(a.x, b.x, c.x)}; }
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
// Eight to twelve accumulators of sixteen registers.
constexpr int kColumns = 4, kVectors = 2, kFactorTile = 4, kFactorVectors = 2;

}  // namespace
}  // namespace ingot::codecs

#include "codecs/compensate_body.h"

namespace ingot::codecs {

const CompensateKernels kCompensateAvx2 = kTable;

}  // namespace ingot::codecs
#endif
