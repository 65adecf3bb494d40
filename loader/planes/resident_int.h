// An `int` plane as kernels read it.
//
// Thread rule: immutable once made.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "loader/kernels/plane_operand.h"
#include "loader/planes/prepared_plane.h"

namespace ingot::loader {

struct PreparedInt : PreparedPlane {
  PlaneOperand operand;
  std::vector<float> levels;
  std::size_t span = 0;  // IntSpan(operand)
  ByteBuffer turned;     // PlaneOperand::turned; empty: it would take too much
};

}  // namespace ingot::loader
