// AVX2, FMA and F16C rows of the vector kernels.
#include "base/simd/lanes_avx2.h"
#include "loader/kernels/vec_math.h"
#include "loader/kernels/vector_kernels.h"

namespace ingot::loader {
namespace {

#include "loader/kernels/vector_body.h"

}  // namespace

const VectorKernels kVectorAvx2 = {
    RmsNorm, LayerNorm,         Activate, Softcap, AddScaled, Attend<float>, Attend<std::uint16_t>,
    Stats,   WeightedDifference};

}  // namespace ingot::loader
