#include "codecs/rounding/trellis_kernels.h"

#if defined(__x86_64__)
#include "base/simd/lanes_avx512.h"
// After base/simd's header, whose vectors it uses.
#include "codecs/rounding/trellis_body.h"

namespace ingot::codecs {

const TrellisKernels kTrellisAvx512 = kTable;

}  // namespace ingot::codecs
#endif
