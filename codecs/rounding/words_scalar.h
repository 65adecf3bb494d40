// Thirty-two whole numbers of 16 bits, and sums of their products in 32: the reference that
// words_avx2.h and words_avx512.h equal to the bit. Everything here is in the including file's
// unnamed namespace.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace ingot::codecs {
namespace {

struct Words {
  static constexpr std::size_t kLanes = 32;
  std::int16_t lane[kLanes];

  static Words Set(std::int16_t w) {
    Words v;
    for (std::int16_t& l : v.lane) l = w;
    return v;
  }
  static Words Load(const std::int16_t* p) {
    Words v;
    __builtin_memcpy(v.lane, p, sizeof v.lane);
    return v;
  }
  // The nearest to (x - middle) * factor of the first n floats, ties to even, into kLanes words;
  // the others 0. REQUIRES: they fit.
  static void FromFloats(const float* x, std::size_t n, float middle, float factor,
                         std::int16_t* out) {
    for (std::size_t i = 0; i < kLanes; ++i)
      out[i] = i < n ? static_cast<std::int16_t>(std::nearbyint((x[i] - middle) * factor))
                     : std::int16_t{0};
  }
  // (a b + 2^14) / 2^15, down.
  static Words MulRound(const Words& a, const Words& b) {
    Words v;
    for (std::size_t i = 0; i < kLanes; ++i)
      v.lane[i] =
          static_cast<std::int16_t>((std::int32_t{a.lane[i]} * b.lane[i] + (1 << 14)) >> 15);
    return v;
  }
  // a b / 2^16, down.
  static Words MulHigh(const Words& a, const Words& b) {
    Words v;
    for (std::size_t i = 0; i < kLanes; ++i)
      v.lane[i] = static_cast<std::int16_t>((std::int32_t{a.lane[i]} * b.lane[i]) >> 16);
    return v;
  }
  static Words Clamp(const Words& v, const Words& low, const Words& high) {
    Words out;
    for (std::size_t i = 0; i < kLanes; ++i) {
      const std::int16_t above = v.lane[i] > low.lane[i] ? v.lane[i] : low.lane[i];
      out.lane[i] = above < high.lane[i] ? above : high.lane[i];
    }
    return out;
  }
};

// REQUIRES: what is added stays below 2^31.
struct WordSum {
  std::int32_t sum = 0;
  void AddProducts(const Words& a, const Words& b) {
    for (std::size_t i = 0; i < Words::kLanes; ++i) sum += std::int32_t{a.lane[i]} * b.lane[i];
  }
  std::int32_t Total() const { return sum; }
};

}  // namespace
}  // namespace ingot::codecs
