// AVX-512 (F, BW, VL, DQ) rows of the vector kernels.
#include "base/simd/lanes_avx512.h"
#include "loader/kernels/packed_page.h"
#include "loader/kernels/vec_math.h"
#include "loader/kernels/vector_kernels.h"

namespace ingot::loader {
namespace {

// The lower or upper halves of 16 bytes.
static inline F LoadNibbles(const std::uint8_t* p, bool upper) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i codes = _mm_and_si128(upper ? _mm_srli_epi16(bytes, 4) : bytes, _mm_set1_epi8(15));
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes))};
}

#include "loader/kernels/vector_body.h"

}  // namespace

const VectorKernels kVectorAvx512 = kRows;

}  // namespace ingot::loader
