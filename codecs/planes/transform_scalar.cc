#include "codecs/planes/transform_kernels.h"

namespace ingot::codecs {
namespace {

struct V {
  float v;

  static constexpr std::size_t kLanes = 1;
  static V Set(float f) { return {f}; }
  static V Load(const float* p) { return {*p}; }
  void Store(float* p) const { *p = v; }
  V WithinVector() const { return *this; }
  friend V operator+(V x, V y) { return {x.v + y.v}; }
  friend V operator-(V x, V y) { return {x.v - y.v}; }
  friend V operator*(V x, V y) { return {x.v * y.v}; }
};

}  // namespace
}  // namespace ingot::codecs

#include "codecs/planes/transform_body.h"

namespace ingot::codecs {

const TransformKernels kTransformScalar = {OddFactor, WalshHadamard, Multiply};
constinit const Ladder<TransformKernels> kTransform = {kTransformScalar, kTransformAvx2,
                                                       kTransformAvx512};

}  // namespace ingot::codecs
