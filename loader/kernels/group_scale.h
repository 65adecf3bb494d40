// A group's scale or minimum as a float. Included by files of instruction sets with F16C, whose code
// must not leak: internal linkage.
#pragma once

#include <immintrin.h>

#include "loader/kernels/plane_operand.h"

namespace ingot::loader {
namespace {

inline float HalfAt(const std::uint8_t* from, std::uint64_t index) {
  std::uint16_t half;
  __builtin_memcpy(&half, from + 2 * index, 2);
  return _cvtsh_ss(half);
}

// A scale or minimum.
inline float GroupNumber(const PlaneOperand& plane, const std::uint8_t* numbers,
                         std::uint64_t index) {
  if (!plane.wide_scales) return HalfAt(numbers, index);
  float wide;
  __builtin_memcpy(&wide, numbers + 4 * index, 4);
  return wide;
}

inline float ScaleOf(const PlaneOperand& plane, std::uint64_t row, std::uint64_t group) {
  const std::uint64_t index = row * plane.groups + group;
  if (plane.row_scales == nullptr) return GroupNumber(plane, plane.scales, index);
  return static_cast<float>(static_cast<std::int8_t>(plane.scales[index])) *
         HalfAt(plane.row_scales, row);
}

}  // namespace
}  // namespace ingot::loader
