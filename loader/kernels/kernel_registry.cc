#include "loader/kernels/kernel_registry.h"

namespace ingot::loader {
namespace {

constexpr PanelDotKernel kPanelDots[] = {
    {Isa::kScalar, "panel_dot_scalar", PanelDotScalar},
    {Isa::kAvx2, "panel_dot_avx2", PanelDotAvx2},
    {Isa::kAvx512, "panel_dot_avx512", PanelDotAvx512},
};

}  // namespace

std::span<const PanelDotKernel> PanelDotKernels() { return kPanelDots; }

const PanelDotKernel& BestPanelDot() {
  static const PanelDotKernel& best = []() -> const PanelDotKernel& {
    const PanelDotKernel* row = &kPanelDots[0];
    for (const PanelDotKernel& k : kPanelDots)
      if (HasIsa(k.isa)) row = &k;
    return *row;
  }();
  return best;
}

}  // namespace ingot::loader
