// Which instruction sets the processor we run on has: kernels are chosen at run time by these.
#pragma once

#include <string_view>

namespace ingot {

// The rungs of the kernel ladder. kAvx512 means F, BW, VL, DQ and VNNI together.
enum class Isa { kScalar, kAvx2, kAvx512 };

// The best rung this processor has, lowered by the environment variable INGOT_ISA
// (scalar|avx2|avx512) for tests and measurements.
Isa BestIsa();
bool HasIsa(Isa isa);
std::string_view IsaName(Isa isa);

}  // namespace ingot
