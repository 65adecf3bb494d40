// Reading and writing rows of floats in their storage format, by 16 bytes where they are aligned,
// and 16 numbers at a time as fragments of tensor core products.
//
// A product m16n8k16 sums over k, so which numbers of a row stand for which k is free as long as
// both operands agree. Lane `quad` of four takes 16 neighbouring numbers of every 64, 32 bytes of
// memory, as four steps of four k each:
//
//   numbers   0 ... 15 | 16 ... 31 | 32 ... 47 | 48 ... 63
//   quad          0    |     1     |     2     |     3        step s: numbers 4 s ... 4 s + 3 of it
#pragma once

#include "loader/cuda/grid.h"

namespace ingot::cuda {

inline constexpr int kFragmentNumbers = 16;  // of a lane
inline constexpr int kFragmentBlock = 4 * kFragmentNumbers;

template <class T>
INGOT_DEVICE std::uint32_t Pair(float low, float high) {
  return FromFloat<T>(low).bits | static_cast<std::uint32_t>(FromFloat<T>(high).bits) << 16;
}
template <class T>
INGOT_DEVICE float Half(std::uint32_t pair, int i) {
  return ToFloat(T{static_cast<std::uint16_t>(pair >> (16 * i))});
}

INGOT_DEVICE void Multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                           F16) {
  MmaF16(d, a, b);
}
INGOT_DEVICE void Multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                           Bf16) {
  MmaBf16(d, a, b);
}

// pairs[2 s], pairs[2 s + 1]: numbers at + 4 s ... of a row of `cols`, zero beyond. `aligned`: rows
// start at multiples of 16 bytes.
template <class T>
INGOT_DEVICE void LoadFragment(const T* row, int at, int cols, bool aligned,
                               std::uint32_t (&pairs)[8]) {
  if (aligned && at + kFragmentNumbers <= cols) {
    const U4 low = Load16(row + at), high = Load16(row + at + 8);
    pairs[0] = low.x, pairs[1] = low.y, pairs[2] = low.z, pairs[3] = low.w;
    pairs[4] = high.x, pairs[5] = high.y, pairs[6] = high.z, pairs[7] = high.w;
    return;
  }
  INGOT_UNROLL
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t low = at + 2 * i < cols ? row[at + 2 * i].bits : 0u;
    const std::uint32_t high = at + 2 * i + 1 < cols ? row[at + 2 * i + 1].bits : 0u;
    pairs[i] = low | high << 16;
  }
}

// The lanes of a warp copy a row.
INGOT_DEVICE void CopyRow(const unsigned char* from, unsigned char* to, std::int64_t bytes,
                          bool aligned) {
  if (aligned) {
    for (std::int64_t i = 16 * Lane(); i < bytes; i += 16 * kLanes)
      Store16(to + i, Stream16(from + i));
    return;
  }
  for (std::int64_t i = Lane(); i < bytes; i += kLanes) to[i] = from[i];
}

// Whether rows of so many bytes are copied by vectors; every pointer is the device's allocation.
INGOT_BOTH bool IsAligned(const void* p, std::int64_t row_bytes) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0 && row_bytes % 16 == 0;
}

}  // namespace ingot::cuda
