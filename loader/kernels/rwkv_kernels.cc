#include "loader/kernels/rwkv_kernels.h"

namespace ingot::loader {
namespace {

#include "loader/kernels/rwkv_body.h"

}  // namespace

const RwkvKernels kRwkvScalar = {Scan, DeltaScan};
constinit const Ladder<RwkvKernels> kRwkvKernels = {kRwkvScalar, kRwkvAvx2, kRwkvAvx512};

}  // namespace ingot::loader
