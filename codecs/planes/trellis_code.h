// The trellis of dependent quantization: which of two mirrored sets of levels a weight has is the
// low bit of a state that the codes before it have moved. Rate-1/2 codes of Ungerboeck (IEEE Trans.
// Inf. Theory 28(1), 1982, and IEEE Comm. Mag. 25(2), 1987); from 1024 states on the best of some hundred
// random ones (tools/bench/trellis_bench).
//
//   state bit 0 is 0: level +(k + 1/4) steps    0:  ... -7  -3   1   5   9 ... quarters of a step
//   state bit 0 is 1: level -(k + 1/4) steps    1:  ...  7   3  -1  -5  -9 ...
//   next state s' = (s >> 1) ^ (s & 1 ? feedback : 0) ^ (k & 1 ? input : 0)
//
// Header only and without calls, so that a kernel of any device may include it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ingot::codecs {

// `feedback` and `input` are the code's polynomials h0 and h1 without their lowest bit.
struct TrellisCode {
  int states = 0;
  std::uint16_t feedback = 0, input = 0;

  constexpr std::uint32_t Next(std::uint32_t state, std::uint32_t k) const {
    return (state >> 1) ^ ((0u - (state & 1u)) & feedback) ^ ((0u - (k & 1u)) & input);
  }
};

// 4 k + 1 in state bit 0, -(4 k + 1) in state bit 1: the level in quarters of a step.
constexpr std::int32_t TrellisLevel(std::uint32_t state, std::int32_t k) {
  const std::int32_t level = 4 * k + 1;
  return (state & 1u) != 0 ? -level : level;
}

inline constexpr int kLeastTrellisStates = 4, kMostTrellisStates = 4096, kTrellisStates = 256;

inline constexpr std::array<TrellisCode, 11> kTrellisCodes = {{{4, 05 >> 1, 02 >> 1},
                                                               {8, 013 >> 1, 04 >> 1},
                                                               {16, 023 >> 1, 04 >> 1},
                                                               {32, 045 >> 1, 010 >> 1},
                                                               {64, 0103 >> 1, 024 >> 1},
                                                               {128, 0235 >> 1, 0126 >> 1},
                                                               {256, 0515 >> 1, 0362 >> 1},
                                                               {512, 01017 >> 1, 0342 >> 1},
                                                               {1024, 02463 >> 1, 01636 >> 1},
                                                               {2048, 06141 >> 1, 03414 >> 1},
                                                               {4096, 017133 >> 1, 05526 >> 1}}};

// The code of this many states, null where there is none.
constexpr const TrellisCode* FindTrellisCode(std::int64_t states) {
  for (const TrellisCode& code : kTrellisCodes)
    if (code.states == states) return &code;
  return nullptr;
}

}  // namespace ingot::codecs
