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

const CompensateKernels& CompensateFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return kCompensateAvx512;
  if (isa == Isa::kAvx2) return kCompensateAvx2;
#endif
  (void)isa;
  return kCompensateScalar;
}

}  // namespace ingot::codecs
