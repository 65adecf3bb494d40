// Transforms of a product's outputs: W x = B (W' x), B in blocks of rows.
//
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "loader/weights/live_planes.h"

namespace ingot::loader {

// Products of rows [begin, end) of W', tokens x (end - begin), become those of W in place.
// REQUIRES: whole blocks of planes.row_block.
void TransformOutputs(const PlaneRange& planes, std::uint64_t begin, std::uint64_t end,
                      std::size_t tokens, float* product);

}  // namespace ingot::loader
