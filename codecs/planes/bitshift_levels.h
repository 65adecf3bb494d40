// The code of `trellis` planes (docs/codecs.md, "trellis"): a state's level is computed, not looked
// up. QTIP's 1MAD (Tseng et al. 2024, arXiv 2406.11235), a congruential generator whose four bytes
// are added, here cut to 8 bits, so that a byte product takes it as it is.
//
// Header only but for the ladder, so that a kernel of any device may include it.
//
// Thread rule: pure functions over the caller's buffers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace ingot::codecs {

inline constexpr std::uint32_t kBitshiftFactor = 34038481, kBitshiftOffset = 76625530;

// The level of a state plus 128: about normal, of mean 127.6 and deviation 36.95.
constexpr std::uint8_t BitshiftByte(std::uint32_t state) {
  const std::uint32_t x = state * kBitshiftFactor + kBitshiftOffset;
  const std::uint32_t sum = (x & 255u) + (x >> 8 & 255u) + (x >> 16 & 255u) + (x >> 24);
  return static_cast<std::uint8_t>((sum + 2) >> 2);
}

// A row's step: states[j] = (states[j] << bits | codes[j]) & mask, bytes[j] = BitshiftByte of it.
// The arrays do not overlap.
using BitshiftRow = void(const std::uint8_t* codes, std::size_t count, int bits, std::uint16_t mask,
                         std::uint16_t* states, std::uint8_t* bytes);
BitshiftRow BitshiftRowScalar, BitshiftRowAvx2, BitshiftRowAvx512;
inline constexpr Ladder<BitshiftRow> kBitshiftRow = {BitshiftRowScalar, BitshiftRowAvx2,
                                                     BitshiftRowAvx512};

}  // namespace ingot::codecs
