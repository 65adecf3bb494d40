// The vectors of byte products, AVX2: what the int and the trellis product's lanes share.
//
// Thread rule: pure functions.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace ingot::loader {
namespace {

struct ByteLanes {
  using Int = __m256i;
  using Float = __m256;
  static constexpr std::size_t kLanes = 8;

  static Int Load(const std::uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void Store(std::uint8_t* p, Int x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
  }
  // Four inputs, for every lane.
  static Int Broadcast(const std::int8_t* p) {
    std::int32_t quad;
    __builtin_memcpy(&quad, p, 4);
    return _mm256_set1_epi32(quad);
  }
  static Int Set(int x) { return _mm256_set1_epi32(x); }

  static Float ZeroFloat() { return _mm256_setzero_ps(); }
  static Float SetFloat(float x) { return _mm256_set1_ps(x); }
  static Float LoadFloat(const float* p) { return _mm256_loadu_ps(p); }
  static void StoreFloat(float* p, Float x) { _mm256_storeu_ps(p, x); }
  static Float ToFloat(Int x) { return _mm256_cvtepi32_ps(x); }
  static Float MulAdd(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
};

}  // namespace
}  // namespace ingot::loader
