// What the files of the processor's op set share: how much work a parallel task is worth, and which
// vector kernel an activation is.
//
// Thread rule: pure functions.
#pragma once

#include <algorithm>
#include <cstddef>

#include "loader/kernels/vector_kernels.h"
#include "model/architecture/layer_parts.h"

namespace ingot::loader {

// Below this many multiply-adds or so a parallel region costs more than it saves.
inline constexpr std::size_t kSerialWork = 1 << 15;

// Rows per task so that a task is worth starting.
inline std::size_t RowGrain(std::size_t work_per_row) {
  return std::max<std::size_t>(1, kSerialWork / std::max<std::size_t>(work_per_row, 1));
}

VectorActivation KernelActivation(model::Activation activation);

}  // namespace ingot::loader
