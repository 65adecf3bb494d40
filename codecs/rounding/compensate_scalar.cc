#include "codecs/rounding/compensate_kernels.h"

#define INGOT_LANES 1
#include "codecs/rounding/lanes.h"

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
