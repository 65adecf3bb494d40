// AVX2, FMA and F16C rows of the vector kernels.
#include "loader/vec_avx2.h"
#include "loader/vec_math.h"
#include "loader/vector_kernels.h"

namespace ingot::loader {
namespace {

#include "loader/vector_body.h"

}  // namespace

const VectorKernels& Avx2VectorKernels() {
  static constexpr VectorKernels kKernels = {
      Isa::kAvx2, RmsNorm,           LayerNorm,     Activate,
      Softcap,    AddScaled,         Attend<float>, Attend<std::uint16_t>,
      Stats,      WeightedDifference};
  return kKernels;
}

}  // namespace ingot::loader
