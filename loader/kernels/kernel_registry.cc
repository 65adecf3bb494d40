#include "loader/kernels/kernel_registry.h"

namespace ingot::loader {
namespace {

constexpr PanelDotKernel kPanelDots[] = {
    {Isa::kScalar, "panel_dot_scalar", PanelDotScalar},
    {Isa::kAvx2, "panel_dot_avx2", PanelDotAvx2},
    {Isa::kAvx512, "panel_dot_avx512", PanelDotAvx512},
};
constexpr IntMatvecKernel kIntMatvecs[] = {
    {Isa::kScalar, "int_matvec_scalar", QuantizeInputs<QuantizeRecordScalar>, IntMatvecScalar},
    {Isa::kAvx2, "int_matvec_avx2", QuantizeInputs<QuantizeRecordAvx2>, IntMatvecAvx2},
    {Isa::kAvx512, "int_matvec_avx512", QuantizeInputs<QuantizeRecordAvx512>, IntMatvecAvx512},
};
constexpr RowDecodeKernel kRowDecodes[] = {
    {Isa::kScalar, "row_decode_codec", nullptr, nullptr},
    {Isa::kAvx2, "row_decode_avx2", DecodeIntRowAvx2, DecodeFp8RowAvx2},
    {Isa::kAvx512, "row_decode_avx512", DecodeIntRowAvx512, DecodeFp8RowAvx512},
};

// The last row that the processor can run: ladders ascend.
template <typename Row, std::size_t n>
const Row& Best(const Row (&ladder)[n]) {
  const Row* best = &ladder[0];
  for (const Row& row : ladder)
    if (HasIsa(row.isa)) best = &row;
  return *best;
}

}  // namespace

std::span<const PanelDotKernel> PanelDotKernels() { return kPanelDots; }
std::span<const IntMatvecKernel> IntMatvecKernels() { return kIntMatvecs; }
std::span<const RowDecodeKernel> RowDecodeKernels() { return kRowDecodes; }

const PanelDotKernel& BestPanelDot() {
  static const PanelDotKernel& best = Best(kPanelDots);
  return best;
}
const IntMatvecKernel& BestIntMatvec() {
  static const IntMatvecKernel& best = Best(kIntMatvecs);
  return best;
}
const RowDecodeKernel& BestRowDecode() {
  static const RowDecodeKernel& best = Best(kRowDecodes);
  return best;
}

}  // namespace ingot::loader
