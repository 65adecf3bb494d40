// Which instruction sets the processor we run on has: kernels are chosen at run time by these.
#pragma once

#include <cstddef>
#include <string_view>

namespace ingot {

// The rungs of the kernel ladder. kAvx512 means F, BW, VL, DQ and VNNI together.
enum class Isa { kScalar, kAvx2, kAvx512 };
inline constexpr Isa kIsas[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512};

// The best rung this processor has, lowered by the environment variable INGOT_ISA
// (scalar|avx2|avx512) for tests and measurements.
Isa BestIsa();
bool HasIsa(Isa isa);
std::string_view IsaName(Isa isa);

// One kernel (or a table of them that belong together) on every rung. The scalar one is the
// reference; tests run every rung that the processor has against it.
template <typename Kernels>
class Ladder {
 public:
  constexpr Ladder(const Kernels& scalar, const Kernels& avx2, const Kernels& avx512)
      : rungs_{&scalar, &avx2, &avx512} {}
  // REQUIRES: HasIsa(isa).
  const Kernels& For(Isa isa) const { return *rungs_[static_cast<std::size_t>(isa)]; }
  const Kernels& Best() const { return For(BestIsa()); }

 private:
  const Kernels* rungs_[3];
};

}  // namespace ingot
