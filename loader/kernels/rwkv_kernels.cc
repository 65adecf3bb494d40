#include "loader/kernels/rwkv_kernels.h"

namespace ingot::loader {
namespace {

#include "loader/kernels/rwkv_body.h"

}  // namespace

const RwkvKernels& ScalarRwkvKernels() {
  static constexpr RwkvKernels kKernels = {Isa::kScalar, Scan, DeltaScan};
  return kKernels;
}

const RwkvKernels& RwkvKernelsFor(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return Avx512RwkvKernels();
    case Isa::kAvx2:
      return Avx2RwkvKernels();
    case Isa::kScalar:
      break;
  }
  return ScalarRwkvKernels();
}

const RwkvKernels& BestRwkvKernels() {
  static const RwkvKernels& best = RwkvKernelsFor(BestIsa());
  return best;
}

}  // namespace ingot::loader
