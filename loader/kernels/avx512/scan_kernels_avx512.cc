// AVX-512 (F, BW, VL, DQ) rows of the scan kernels.
#include "base/simd/lanes_avx512.h"
#include "loader/kernels/scan_kernels.h"
#include "loader/kernels/vec_math.h"

namespace ingot::loader {
namespace {

#include "loader/kernels/scan_body.h"

}  // namespace

const ScanKernels kScanAvx512 = {Selective, Linear};

}  // namespace ingot::loader
