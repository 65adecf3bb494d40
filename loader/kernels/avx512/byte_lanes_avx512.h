// The vectors of byte products, AVX-512: what the int and the trellis product's lanes share.
//
// Thread rule: pure functions.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace ingot::loader {
namespace {

struct ByteLanes {
  using Int = __m512i;
  using Float = __m512;
  static constexpr std::size_t kLanes = 16;

  static Int Load(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
  static void Store(std::uint8_t* p, Int x) { _mm512_storeu_si512(p, x); }
  // Four inputs, for every lane.
  static Int Broadcast(const std::int8_t* p) {
    std::int32_t quad;
    __builtin_memcpy(&quad, p, 4);
    return _mm512_set1_epi32(quad);
  }
  static Int Set(int x) { return _mm512_set1_epi32(x); }

  static Float ZeroFloat() { return _mm512_setzero_ps(); }
  static Float SetFloat(float x) { return _mm512_set1_ps(x); }
  static Float LoadFloat(const float* p) { return _mm512_loadu_ps(p); }
  static void StoreFloat(float* p, Float x) { _mm512_storeu_ps(p, x); }
  static Float ToFloat(Int x) { return _mm512_cvtepi32_ps(x); }
  static Float MulAdd(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
};

}  // namespace
}  // namespace ingot::loader
