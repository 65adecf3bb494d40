// Rows whose weights are too small for the format of their scales.
// Thread rule: pure functions.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

#include "base/float_formats.h"
#include "base/status.h"

namespace ingot::codecs {

// Rows below are dead rather than scaled down, as those of tokens that were never trained (1e-23 in
// LLaMA 3): they become zeros. A neighbouring matrix that made up for 2^-40 would need scales far
// above fp16's 65504.
inline constexpr float kDeadScale = 0x1p-44f, kDeadWeight = 0x1p-40f;

// Whether `stored`, what a 16-bit format made of the largest scale `wanted` of a row, lost it: what
// is left is zero or a quarter off. (Codes are rounded under the stored scale: an eighth off costs
// little.)
inline bool LosesScale(float wanted, float stored) {
  return wanted > kDeadScale && std::fabs(stored - wanted) > wanted / 4;
}

// The row scale of i8 scales, `wanted` being a 127th of the largest of them. Where fp16 would lose
// it, the smallest above: the i8 scales then have fewer steps, but are not zero.
inline std::uint16_t RowScale(float wanted) {
  const std::uint16_t nearest = ToFp16(wanted);
  const float stored = FromFp16(nearest);
  const bool up = LosesScale(wanted, stored) && stored < wanted;
  return static_cast<std::uint16_t>(nearest + (up ? 1 : 0));  // subnormal here
}

// Whether the largest weight of a row lies among the subnormal codes of e4m3 under the smallest
// scale that fp16 has.
inline bool LosesFp8Row(float largest) { return largest > kDeadWeight && largest < 0x1p-30f; }

inline Status ScaleTooSmall(float wanted) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", static_cast<double>(wanted));
  return InvalidArgument("needs a scale of " + std::string(text) +
                         ", below what fp16 holds (1.2e-07); store this tensor as raw or "
                         "lossless_v1");
}

}  // namespace ingot::codecs
