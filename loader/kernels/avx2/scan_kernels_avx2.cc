// AVX2 and FMA rows of the scan kernels.
#include "base/simd/lanes_avx2.h"
#include "loader/kernels/scan_kernels.h"
#include "loader/kernels/vec_math.h"

namespace ingot::loader {
namespace {

#include "loader/kernels/scan_body.h"

}  // namespace

const ScanKernels kScanAvx2 = {Selective, Linear};

}  // namespace ingot::loader
