#include "loader/kernels/half_dot.h"

namespace ingot::loader {

const HalfDotKernels kHalfDotScalar = {nullptr, nullptr};
constinit const Ladder<HalfDotKernels> kHalfDot = {kHalfDotScalar, kHalfDotAvx2, kHalfDotAvx512};

}  // namespace ingot::loader
