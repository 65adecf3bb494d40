// The ladders of kernels, a row per instruction set; row 0 is the scalar reference, and tests run
// every usable row against it.
#pragma once

#include <span>

#include "base/cpu.h"
#include "loader/kernels/int_matvec.h"
#include "loader/kernels/panel_dot.h"
#include "loader/kernels/row_decode.h"

namespace ingot::loader {

std::span<const PanelDotKernel> PanelDotKernels();
std::span<const IntMatvecKernel> IntMatvecKernels();
// Row 0 has no functions: the reference is the codec's own decoder.
std::span<const RowDecodeKernel> RowDecodeKernels();

// The row for this processor (and INGOT_ISA).
const PanelDotKernel& BestPanelDot();
const IntMatvecKernel& BestIntMatvec();
const RowDecodeKernel& BestRowDecode();

}  // namespace ingot::loader
