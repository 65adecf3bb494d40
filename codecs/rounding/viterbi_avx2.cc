#include "codecs/rounding/bitshift_kernels.h"

#if defined(__x86_64__)
#include "base/simd/lanes_avx2.h"

namespace ingot::codecs {
namespace {

template <int kBits>
F Spread(F v, std::size_t part) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i at = _mm256_add_epi32(lane, _mm256_set1_epi32(static_cast<int>(part) * 8));
  return {_mm256_permutevar8x32_ps(v.x, _mm256_srli_epi32(at, kBits))};
}

}  // namespace
}  // namespace ingot::codecs
// After base/simd's header, whose vectors it uses.
#include "codecs/rounding/bitshift_body.h"

namespace ingot::codecs {

const BitshiftKernels kBitshiftAvx2 = kTable;

}  // namespace ingot::codecs
#endif
