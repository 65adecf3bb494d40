#include "codecs/planes/transform_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {
namespace {

struct V {
  __m256 v;

  static constexpr std::size_t kLanes = 8;
  static V Set(float f) { return {_mm256_set1_ps(f)}; }
  static V Load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void Store(float* p) const { _mm256_storeu_ps(p, v); }
  friend V operator+(V x, V y) { return {_mm256_add_ps(x.v, y.v)}; }
  friend V operator-(V x, V y) { return {_mm256_sub_ps(x.v, y.v)}; }
  friend V operator*(V x, V y) { return {_mm256_mul_ps(x.v, y.v)}; }

  // Strides 1, 2 and 4: lanes with that bit get partner - self, the others partner + self.
  V WithinVector() const {
    __m256 x = v;
    __m256 y = _mm256_permute_ps(x, 0xb1);
    x = _mm256_blend_ps(_mm256_add_ps(y, x), _mm256_sub_ps(y, x), 0xaa);
    y = _mm256_permute_ps(x, 0x4e);
    x = _mm256_blend_ps(_mm256_add_ps(y, x), _mm256_sub_ps(y, x), 0xcc);
    y = _mm256_permute2f128_ps(x, x, 1);
    return {_mm256_blend_ps(_mm256_add_ps(y, x), _mm256_sub_ps(y, x), 0xf0)};
  }
};

}  // namespace
}  // namespace ingot::codecs

#include "codecs/planes/transform_body.h"

namespace ingot::codecs {

const TransformKernels kTransformAvx2 = {OddFactor, WalshHadamard, Multiply};

}  // namespace ingot::codecs
#endif
