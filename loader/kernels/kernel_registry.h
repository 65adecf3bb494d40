// The ladders of kernels, a row per instruction set; row 0 is the scalar reference, and tests run
// every usable row against it.
#pragma once

#include <span>

#include "base/cpu.h"
#include "loader/kernels/panel_dot.h"

namespace ingot::loader {

std::span<const PanelDotKernel> PanelDotKernels();

// The row for this processor (and INGOT_ISA).
const PanelDotKernel& BestPanelDot();

}  // namespace ingot::loader
