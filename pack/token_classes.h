// How many of a tensor's planes a token reads: the allocation table's row of that tensor. A token's
// class, 0 ... 3, comes from its importance (below 1/4, 1/2, 3/4, above).
#pragma once

#include <array>
#include <span>

#include "codecs/plane.h"

namespace ingot::pack {

// Bits that a token of each class may read of a weight; the last class reads all planes.
inline constexpr std::array kClassBits = {4, 8, 16};
inline constexpr std::size_t kTokenClasses = kClassBits.size() + 1;

// For each class the number of leading planes, transforms not counted (docs/codecs.md, section 1):
// whole refinement levels, level 0 always, further ones while the codes read so far (scales and
// outliers apart) are within the class's bits.
// REQUIRES: kinds of `planes` are known, levels do not fall.
std::array<int, kTokenClasses> PlanesByClass(std::span<const codecs::PlaneSpec> planes);

}  // namespace ingot::pack
