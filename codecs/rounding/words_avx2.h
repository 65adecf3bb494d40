// words_scalar.h's Words in two registers of AVX2.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace ingot::codecs {
namespace {

struct Words {
  static constexpr std::size_t kLanes = 32;
  __m256i low, high;

  static Words Set(std::int16_t w) { return {_mm256_set1_epi16(w), _mm256_set1_epi16(w)}; }
  static Words Load(const std::int16_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16))};
  }
  static void FromFloats(const float* x, std::size_t n, float middle, float factor,
                         std::int16_t* out) {
    float padded[kLanes];
    if (n < kLanes) {
      for (std::size_t i = 0; i < kLanes; ++i) padded[i] = i < n ? x[i] : middle;
      x = padded;
    }
    const __m256 m = _mm256_set1_ps(middle), f = _mm256_set1_ps(factor);
    const auto eight = [&](std::size_t at) {
      return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + at), m), f));
    };
    for (std::size_t at = 0; at < kLanes; at += 16)
      _mm256_storeu_si256(
          reinterpret_cast<__m256i*>(out + at),
          _mm256_permute4x64_epi64(_mm256_packs_epi32(eight(at), eight(at + 8)), 0xd8));
  }
  static Words MulRound(const Words& a, const Words& b) {
    return {_mm256_mulhrs_epi16(a.low, b.low), _mm256_mulhrs_epi16(a.high, b.high)};
  }
  static Words MulHigh(const Words& a, const Words& b) {
    return {_mm256_mulhi_epi16(a.low, b.low), _mm256_mulhi_epi16(a.high, b.high)};
  }
  static Words Clamp(const Words& v, const Words& least, const Words& most) {
    return {_mm256_min_epi16(_mm256_max_epi16(v.low, least.low), most.low),
            _mm256_min_epi16(_mm256_max_epi16(v.high, least.high), most.high)};
  }
};

struct WordSum {
  __m256i sum = _mm256_setzero_si256();
  void AddProducts(const Words& a, const Words& b) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a.low, b.low));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a.high, b.high));
  }
  std::int32_t Total() const {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    return _mm_cvtsi128_si32(half);
  }
};

}  // namespace
}  // namespace ingot::codecs
