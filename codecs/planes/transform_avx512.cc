#include "codecs/planes/transform_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ingot::codecs {
namespace {

struct V {
  __m512 v;

  static constexpr std::size_t kLanes = 16;
  static V Set(float f) { return {_mm512_set1_ps(f)}; }
  static V Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void Store(float* p) const { _mm512_storeu_ps(p, v); }
  friend V operator+(V x, V y) { return {_mm512_add_ps(x.v, y.v)}; }
  friend V operator-(V x, V y) { return {_mm512_sub_ps(x.v, y.v)}; }
  friend V operator*(V x, V y) { return {_mm512_mul_ps(x.v, y.v)}; }

  // Strides 1, 2, 4 and 8: lanes with that bit get partner - self, the others partner + self.
  V WithinVector() const {
    __m512 x = v;
    __m512 y = _mm512_permute_ps(x, 0xb1);
    x = _mm512_mask_sub_ps(_mm512_add_ps(y, x), 0xaaaa, y, x);
    y = _mm512_permute_ps(x, 0x4e);
    x = _mm512_mask_sub_ps(_mm512_add_ps(y, x), 0xcccc, y, x);
    y = _mm512_shuffle_f32x4(x, x, 0xb1);
    x = _mm512_mask_sub_ps(_mm512_add_ps(y, x), 0xf0f0, y, x);
    y = _mm512_shuffle_f32x4(x, x, 0x4e);
    return {_mm512_mask_sub_ps(_mm512_add_ps(y, x), 0xff00, y, x)};
  }
};

}  // namespace
}  // namespace ingot::codecs

#include "codecs/planes/transform_body.h"

namespace ingot::codecs {

const TransformKernels kTransformAvx512 = {OddFactor, WalshHadamard, Multiply};

}  // namespace ingot::codecs
#endif
