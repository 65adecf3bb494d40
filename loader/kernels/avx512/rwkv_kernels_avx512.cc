// AVX-512 rows of the RWKV kernels.
#include "loader/kernels/rwkv_kernels.h"

namespace ingot::loader {
namespace {

#include "loader/kernels/rwkv_body.h"

}  // namespace

const RwkvKernels& Avx512RwkvKernels() {
  static constexpr RwkvKernels kKernels = {Isa::kAvx512, Scan, DeltaScan};
  return kKernels;
}

}  // namespace ingot::loader
