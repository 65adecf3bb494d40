#include "loader/kernels/kernel_registry.h"

namespace ingot::loader {
namespace {

constexpr IntMatvecKernel kIntMatvecs[] = {
    {QuantizeInputsScalar, IntMatvecScalar, false},
    {QuantizeInputsAvx2, IntMatvecAvx2, true},
    {QuantizeInputsAvx512, IntMatvecAvx512, true},
};
constexpr RowDecodeKernel kRowDecodes[] = {
    {nullptr, nullptr},
    {DecodeIntRowAvx2, DecodeFp8RowAvx2},
    {DecodeIntRowAvx512, DecodeFp8RowAvx512},
};

void TrellisMatvecTop(const TrellisMatvec& matvec) {
  (HasVbmi() ? TrellisMatvecVbmi : TrellisMatvecAvx512)(matvec);
}

}  // namespace

bool HasVbmi() {
#if defined(__x86_64__)
  static const bool has = HasIsa(Isa::kAvx512) && __builtin_cpu_supports("avx512vbmi");
  return has;
#else
  return false;
#endif
}

constinit const Ladder<PanelDotKernel> kPanelDot = {PanelDotScalar, PanelDotAvx2, PanelDotAvx512};
constinit const Ladder<IntMatvecKernel> kIntMatvec = {kIntMatvecs[0], kIntMatvecs[1],
                                                      kIntMatvecs[2]};
constinit const Ladder<RowDecodeKernel> kRowDecode = {kRowDecodes[0], kRowDecodes[1],
                                                      kRowDecodes[2]};
constinit const Ladder<TrellisMatvecKernel> kTrellisMatvec = {TrellisMatvecScalar,
                                                              TrellisMatvecAvx2, TrellisMatvecTop};

}  // namespace ingot::loader
