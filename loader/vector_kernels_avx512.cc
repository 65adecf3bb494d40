// AVX-512 (F, BW, VL, DQ) rows of the vector kernels.
#include "loader/vec_avx512.h"
#include "loader/vec_math.h"
#include "loader/vector_kernels.h"

namespace ingot::loader {
namespace {

#include "loader/vector_body.h"

}  // namespace

const VectorKernels& Avx512VectorKernels() {
  static constexpr VectorKernels kKernels = {
      Isa::kAvx512, RmsNorm,           LayerNorm,     Activate,
      Softcap,      AddScaled,         Attend<float>, Attend<std::uint16_t>,
      Stats,        WeightedDifference};
  return kKernels;
}

}  // namespace ingot::loader
