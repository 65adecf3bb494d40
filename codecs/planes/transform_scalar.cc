#include "base/simd/lanes_scalar.h"
#include "codecs/planes/transform_kernels.h"
// After base/simd's header, whose vectors it uses.
#include "codecs/planes/transform_body.h"

namespace ingot::codecs {

const TransformKernels kTransformScalar = {OddFactor, WalshHadamard, Multiply};
constinit const Ladder<TransformKernels> kTransform = {kTransformScalar, kTransformAvx2,
                                                       kTransformAvx512};

}  // namespace ingot::codecs
