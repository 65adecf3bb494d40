#include <immintrin.h>

#include "loader/kernels/rate_kernels.h"

namespace ingot::loader {
namespace {

constexpr int kChains = 12;  // enough to hide the latency of a multiply-add, two a cycle

std::uint64_t FloatProducts(std::uint64_t rounds) {
  __m256 sums[kChains];
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  __m256 a = _mm256_set1_ps(1.5f), b = _mm256_set1_ps(0.25f);
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sums[i] = _mm256_fmadd_ps(a, b, sums[i]);
  }
  for (auto& sum : sums) __asm__ volatile("" : "+x"(sum));
  return rounds * kChains * 8;
}

std::uint64_t Int8Products(std::uint64_t rounds) {
  __m256i sums[kChains];
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-5);
  const __m256i ones = _mm256_set1_epi16(1);
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      __m256i pairs = _mm256_maddubs_epi16(a, b);
      __asm__ volatile("" : "+x"(pairs));
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, ones));
    }
  }
  for (auto& sum : sums) __asm__ volatile("" : "+x"(sum));
  return rounds * kChains * 32;
}

std::uint64_t Read(const void* from, std::size_t bytes) {
  const auto* vectors = static_cast<const __m256i*>(from);
  __m256i sums[4];
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  for (std::size_t i = 0; i + 4 <= bytes / 32; i += 4)
    for (std::size_t k = 0; k < 4; ++k)
      sums[k] = _mm256_add_epi64(sums[k], _mm256_load_si256(vectors + i + k));
  for (std::size_t i = bytes / 128 * 4; i < bytes / 32; ++i)
    sums[0] = _mm256_add_epi64(sums[0], _mm256_load_si256(vectors + i));
  alignas(32) std::uint64_t lanes[4];
  _mm256_store_si256(
      reinterpret_cast<__m256i*>(lanes),
      _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3])));
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

}  // namespace

const RateKernels kRateAvx2 = {FloatProducts, Int8Products, nullptr, Read};

}  // namespace ingot::loader
