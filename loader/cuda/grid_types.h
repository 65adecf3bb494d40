// What both meanings of grid.h share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kLanes = 32;

// What a launch asks for. A grid without blocks runs nothing.
struct Shape {
  unsigned x = 1, y = 1, z = 1;  // blocks
  unsigned threads = 32;         // of a block, whole warps
  std::size_t shared_bytes = 0;
};

// Storage formats of 16 bits; arithmetic is in float32.
struct F16 {
  std::uint16_t bits;
};
struct Bf16 {
  std::uint16_t bits;
};

}  // namespace ingot::cuda
