// Planes that were stored to be small, as planes that kernels read: an `entropy` plane becomes an
// `int` plane of 4 or 8 bits with a scale a row, `sparse` planes for the codes that do not fit it,
// and a `column_scale`. The weights stay the same to the bit.
//
// Thread rule: parallel inside; one matrix belongs to one caller.
#pragma once

#include <optional>
#include <vector>

#include "codecs/plane.h"
#include "loader/planes/turned_planes.h"

namespace ingot::loader {

// nullopt where kernels have no form for the plane, and the codec's own decoder has to serve: bands
// whose columns differ in factor, codes far beyond a byte, no rows. REQUIRES: the plane is of kind
// `entropy`, validated, and the only one of its tensor.
std::optional<std::vector<OwnedPlane>> ResidentEntropy(const codecs::PlaneView& plane);

}  // namespace ingot::loader
