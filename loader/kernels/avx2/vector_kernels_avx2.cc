// AVX2, FMA and F16C rows of the vector kernels.
#include "base/simd/lanes_avx2.h"
#include "loader/kernels/packed_page.h"
#include "loader/kernels/vec_math.h"
#include "loader/kernels/vector_kernels.h"

namespace ingot::loader {
namespace {

// The lower or upper halves of 8 bytes.
static inline F LoadNibbles(const std::uint8_t* p, bool upper) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  const __m128i codes = _mm_and_si128(upper ? _mm_srli_epi16(bytes, 4) : bytes, _mm_set1_epi8(15));
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes))};
}

#include "loader/kernels/vector_body.h"

}  // namespace

const VectorKernels kVectorAvx2 = kRows;

}  // namespace ingot::loader
