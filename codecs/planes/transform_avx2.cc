#include "codecs/planes/transform_kernels.h"

#if defined(__x86_64__)
#include "base/simd/lanes_avx2.h"
// After base/simd's header, whose vectors it uses.
#include "codecs/planes/transform_body.h"

namespace ingot::codecs {

const TransformKernels kTransformAvx2 = {OddFactor, WalshHadamard, Multiply};

}  // namespace ingot::codecs
#endif
