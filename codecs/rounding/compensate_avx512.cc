#include "codecs/rounding/compensate_kernels.h"

#if defined(__x86_64__)
#include "base/simd/lanes_avx512.h"

namespace ingot::codecs {
namespace {
// Sixteen accumulators of thirty-two registers.
constexpr int kColumns = 8, kVectors = 2, kFactorTile = 8, kFactorVectors = 2;
}  // namespace
}  // namespace ingot::codecs

#include "codecs/rounding/compensate_body.h"

namespace ingot::codecs {

const CompensateKernels kCompensateAvx512 = kTable;

}  // namespace ingot::codecs
#endif
