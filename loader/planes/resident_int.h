// An `int` plane as kernels read it.
//
// Thread rule: immutable once made.
#pragma once

#include <vector>

#include "loader/kernels/plane_operand.h"
#include "loader/planes/prepared_plane.h"

namespace ingot::loader {

struct PreparedInt : PreparedPlane {
  PlaneOperand operand;
  std::vector<float> levels;
  std::size_t span = 0;  // IntSpan(operand)
};

}  // namespace ingot::loader
