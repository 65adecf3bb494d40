// An `fp8` plane as kernels read it.
//
// Thread rule: immutable once made.
#pragma once

#include "loader/kernels/plane_operand.h"
#include "loader/planes/prepared_plane.h"

namespace ingot::loader {

struct PreparedFp8 : PreparedPlane {
  PlaneOperand operand;
};

}  // namespace ingot::loader
