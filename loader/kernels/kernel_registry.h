// The ladders of the matrix kernels.
#pragma once

#include "base/cpu.h"
#include "loader/kernels/int_matvec.h"
#include "loader/kernels/panel_dot.h"
#include "loader/kernels/row_decode.h"
#include "loader/kernels/trellis_matvec.h"

namespace ingot::loader {

extern const Ladder<PanelDotKernel> kPanelDot;
extern const Ladder<IntMatvecKernel> kIntMatvec;
extern const Ladder<RowDecodeKernel> kRowDecode;

}  // namespace ingot::loader
