#include "base/simd/lanes_scalar.h"
#include "codecs/rounding/trellis_kernels.h"
// After base/simd's header, whose vectors it uses.
#include "codecs/rounding/trellis_body.h"

namespace ingot::codecs {

const TrellisKernels kTrellisScalar = kTable;
constinit const Ladder<TrellisKernels> kTrellis = {kTrellisScalar, kTrellisAvx2, kTrellisAvx512};

}  // namespace ingot::codecs
