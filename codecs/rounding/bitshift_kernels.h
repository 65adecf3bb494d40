// One step of the search for the cheapest codes of a bit-shift trellis (bitshift_search.h), a table
// an instruction set. Metrics are added and compared in one order: all tables give the same codes.
//
// Thread rule: pure functions over caller's buffers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace ingot::codecs {

struct BitshiftStep {
  const float* from = nullptr;    // 2^state_bits metrics before
  const float* values = nullptr;  // of each state
  float target = 0, weight = 0;
  std::size_t heads = 0;  // 2^(state_bits - bits), at least 16
  float* to = nullptr;    // metrics after
  // heads bytes: what had been shifted out of the best state before `head << bits | any code`.
  std::uint8_t* decisions = nullptr;
};

struct BitshiftKernels {
  // to[head << bits | c] = weight (values[..] - target)² + min_p from[p * heads + head]; of equal
  // metrics the lowest p. `step` by bits - 2. The arrays do not overlap.
  void (*step[3])(const BitshiftStep& step);
};

extern const BitshiftKernels kBitshiftScalar, kBitshiftAvx2, kBitshiftAvx512;
extern const Ladder<BitshiftKernels> kBitshift;

}  // namespace ingot::codecs
