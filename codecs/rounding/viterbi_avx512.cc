#include "codecs/rounding/bitshift_kernels.h"

#if defined(__x86_64__)
#include "base/simd/lanes_avx512.h"

namespace ingot::codecs {
namespace {

template <int kBits>
F Spread(F v, std::size_t part) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i at = _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(part) * 16));
  return {_mm512_permutexvar_ps(_mm512_srli_epi32(at, kBits), v.x)};
}

}  // namespace
}  // namespace ingot::codecs
// After base/simd's header, whose vectors it uses.
#include "codecs/rounding/bitshift_body.h"

namespace ingot::codecs {

const BitshiftKernels kBitshiftAvx512 = kTable;

}  // namespace ingot::codecs
#endif
