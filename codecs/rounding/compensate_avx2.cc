#include "codecs/rounding/compensate_kernels.h"

#if defined(__x86_64__)
#include "base/simd/lanes_avx2.h"

namespace ingot::codecs {
namespace {
// Eight accumulators of sixteen registers.
constexpr int kColumns = 4, kVectors = 2, kFactorTile = 4, kFactorVectors = 2;
}  // namespace
}  // namespace ingot::codecs

#include "codecs/rounding/compensate_body.h"

namespace ingot::codecs {

const CompensateKernels kCompensateAvx2 = kTable;

}  // namespace ingot::codecs
#endif
