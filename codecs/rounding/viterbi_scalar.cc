#include "base/simd/lanes_scalar.h"
#include "codecs/rounding/bitshift_kernels.h"

namespace ingot::codecs {
namespace {

template <int kBits>
F Spread(F v, std::size_t) {
  return v;
}

}  // namespace
}  // namespace ingot::codecs
// After base/simd's header, whose vectors it uses.
#include "codecs/rounding/bitshift_body.h"

namespace ingot::codecs {

const BitshiftKernels kBitshiftScalar = kTable;
constinit const Ladder<BitshiftKernels> kBitshift = {kBitshiftScalar, kBitshiftAvx2,
                                                     kBitshiftAvx512};

}  // namespace ingot::codecs
