// AVX2 rows of the RWKV kernels.
#include "loader/kernels/rwkv_kernels.h"

namespace ingot::loader {
namespace {

#include "loader/kernels/rwkv_body.h"

}  // namespace

const RwkvKernels kRwkvAvx2 = {Scan, DeltaScan};

}  // namespace ingot::loader
