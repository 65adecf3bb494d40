// A `dependent` plane as planes that kernels read: its levels, whole quarters of a step, as an
// `int` plane of 8 bits, or two of them where too many are wider, with a scale a row; `sparse`
// planes for the few that do not fit; and a `column_scale`. The weights stay the same to the bit.
//
// Thread rule: parallel inside; one matrix belongs to one caller.
#pragma once

#include <optional>
#include <vector>

#include "codecs/plane.h"
#include "loader/planes/turned_planes.h"

namespace ingot::loader {

// nullopt where kernels have no form for the plane, and the codec's own decoder has to serve: bands
// whose columns differ in factor, levels far beyond 16 bits, steps beyond what f16 scales hold, no
// rows. REQUIRES: the plane is of kind `dependent`, validated, and the only one of its tensor.
std::optional<std::vector<OwnedPlane>> ResidentDependent(const codecs::PlaneView& plane);

}  // namespace ingot::loader
