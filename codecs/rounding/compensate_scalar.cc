#include "base/simd/lanes_scalar.h"
#include "codecs/rounding/compensate_kernels.h"

namespace ingot::codecs {
namespace {
constexpr int kColumns = 4, kVectors = 2, kFactorTile = 4, kFactorVectors = 2;
}  // namespace
}  // namespace ingot::codecs

#include "codecs/rounding/compensate_body.h"

namespace ingot::codecs {

const CompensateKernels kCompensateScalar = kTable;
constinit const Ladder<CompensateKernels> kCompensate = {kCompensateScalar, kCompensateAvx2,
                                                         kCompensateAvx512};

}  // namespace ingot::codecs
