// Sizes of a page of keys and values that hosts and kernels share.
#pragma once

#include "loader/kernels/packed_page.h"

namespace ingot::cuda {

inline constexpr int kPageTokens = static_cast<int>(loader::kPackedTokens);

// Values of a token lie so far apart in f32 and f16 pages.
constexpr int ValueStride(int head_dim) { return (head_dim + 15) / 16 * 16; }

}  // namespace ingot::cuda
