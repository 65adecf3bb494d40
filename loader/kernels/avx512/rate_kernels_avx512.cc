#include <immintrin.h>

#include "loader/kernels/rate_kernels.h"

namespace ingot::loader {
namespace {

constexpr int kChains = 16;  // enough to hide the latency of a multiply-add, two a cycle

std::uint64_t FloatProducts(std::uint64_t rounds) {
  __m512 sums[kChains];
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  __m512 a = _mm512_set1_ps(1.5f), b = _mm512_set1_ps(0.25f);
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_fmadd_ps(a, b, sums[i]);
  }
  for (auto& sum : sums) __asm__ volatile("" : "+v"(sum));
  return rounds * kChains * 16;
}

std::uint64_t Int8Products(std::uint64_t rounds) {
  __m512i sums[kChains];
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-5);
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
  }
  for (auto& sum : sums) __asm__ volatile("" : "+v"(sum));
  return rounds * kChains * 64;
}

__attribute__((target("avx512bf16"))) std::uint64_t Bf16Products(std::uint64_t rounds) {
  __m512 sums[kChains];
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  __m512i a = _mm512_set1_epi16(0x3f80), b = _mm512_set1_epi16(0x3e80);
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i)
      sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)(a), (__m512bh)(b));
  }
  for (auto& sum : sums) __asm__ volatile("" : "+v"(sum));
  return rounds * kChains * 32;
}

std::uint64_t Read(const void* from, std::size_t bytes) {
  const auto* vectors = static_cast<const __m512i*>(from);
  __m512i sums[4];
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  const std::size_t count = bytes / 64;
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (std::size_t k = 0; k < 4; ++k)
      sums[k] = _mm512_add_epi64(sums[k], _mm512_load_si512(vectors + i + k));
  for (; i < count; ++i) sums[0] = _mm512_add_epi64(sums[0], _mm512_load_si512(vectors + i));
  const __m512i sum =
      _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
  return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(sum));
}

}  // namespace

// Bf16Products is there for whoever has asked HasBf16.
const RateKernels kRateAvx512 = {FloatProducts, Int8Products, Bf16Products, Read};

}  // namespace ingot::loader
