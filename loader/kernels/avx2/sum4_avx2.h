// Four vectors' sums at once, AVX2.
//
// Thread rule: pure functions.
#pragma once

#include <immintrin.h>

namespace ingot::loader {
namespace {

// (sum of a's lanes, b's, c's, d's), every one by the same tree.
inline __m128 Sum4(__m256 a, __m256 b, __m256 c, __m256 d) {
  const __m256 ab = _mm256_hadd_ps(a, b);
  const __m256 cd = _mm256_hadd_ps(c, d);
  const __m256 quads = _mm256_hadd_ps(ab, cd);
  return _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1));
}

}  // namespace
}  // namespace ingot::loader
