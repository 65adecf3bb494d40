// One layer of the forward over the residual stream: norms, mixer, MLP, in the order that its
// residual kind says.
//
// Thread rule: as model/forward/forward.h.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include "base/status.h"
#include "model/architecture/architecture.h"
#include "model/forward/forward_attention.h"
#include "model/forward/forward_mamba.h"
#include "model/forward/forward_mlp.h"
#include "model/forward/forward_retention.h"
#include "model/forward/forward_rwkv.h"
#include "model/forward/op_set.h"

namespace ingot::model {

// An op set that can run layers with that mixer: RunMixer of its header takes it.
template <class Ops, class Mixer>
concept RunsMixer = requires(Ops& ops, const Architecture& architecture, const Mixer& mixer,
                             const typename Ops::Tensor& x) {
  RunMixer(ops, architecture, mixer, std::size_t{0}, x);
};

// Whether an op set can run a layer. Who makes one for an architecture asks this first, unless it
// runs all kinds; a forward over a layer that it cannot run aborts.
template <class Ops>
bool CanRun(const LayerSpec& layer) {
  return VisitMixer(layer, []<class Mixer>(const Mixer&) { return RunsMixer<Ops, Mixer>; });
}

namespace forward_detail {

// The parts of one layer, each over the stream as it stands.
template <OpSet Ops>
class LayerRun {
 public:
  using Tensor = typename Ops::Tensor;
  LayerRun(Ops& ops, const Architecture& architecture, std::size_t layer)
      : ops_(ops), architecture_(architecture), layer_(layer), spec_(architecture.layers[layer]) {}

  Tensor Sequential(Tensor x) {
    auto mixed = NormOr(ops_, spec_.post_mixer_norm, NormedMixer(x));
    if (spec_.mlp.kind == MlpKind::kNone)
      return ops_.Add(std::move(x), mixed, spec_.residual_scale);
    if constexpr (AddsAndNorms<Ops>) {
      if (spec_.pre_mlp_norm.present() && !RoutesAtNorm()) {
        auto [sum, normed] =
            ops_.AddNorm(std::move(x), mixed, spec_.residual_scale, spec_.pre_mlp_norm);
        return AddBranch(ops_, std::move(sum), spec_.post_mlp_norm, Mlp(normed),
                         spec_.residual_scale);
      }
    }
    x = ops_.Add(std::move(x), mixed, spec_.residual_scale);
    auto fed = NormedMlp(spec_.pre_mlp_norm, x);
    return AddBranch(ops_, std::move(x), spec_.post_mlp_norm, std::move(fed), spec_.residual_scale);
  }

  Tensor PostNorm(Tensor x) {
    // Named first: arguments are evaluated in no given order, and one of them moves x.
    const auto mixed = Mixer(x);
    x = AddThenNorm(std::move(x), mixed, spec_.post_mixer_norm);
    const auto fed = Mlp(x);
    return AddThenNorm(std::move(x), fed, spec_.post_mlp_norm);
  }

  Tensor Parallel(Tensor x) {
    const NormSpec& second =
        spec_.pre_mlp_norm.present() ? spec_.pre_mlp_norm : spec_.pre_mixer_norm;
    auto mixed = NormedMixer(x);
    auto fed = NormedMlp(second, x);
    x = AddBranch(ops_, std::move(x), spec_.post_mixer_norm, std::move(mixed),
                  spec_.residual_scale);
    return AddBranch(ops_, std::move(x), spec_.post_mlp_norm, std::move(fed), spec_.residual_scale);
  }

 private:
  Tensor Mixer(const Tensor& x) {
    return VisitMixer(spec_, [&]<class Spec>(const Spec& mixer) -> Tensor {
      INGOT_CHECK((RunsMixer<Ops, Spec>));
      if constexpr (RunsMixer<Ops, Spec>) return RunMixer(ops_, architecture_, mixer, layer_, x);
      return ops_.ZerosLike(x);
    });
  }
  Tensor NormedMixer(const Tensor& x) {
    return spec_.pre_mixer_norm.present() ? Mixer(ops_.Norm(spec_.pre_mixer_norm, x)) : Mixer(x);
  }

  Tensor Mlp(const Tensor& x) {
    if constexpr (RwkvOps<Ops>) {
      if (spec_.mlp.kind == MlpKind::kRwkvChannelMix)
        return RunRwkvChannelMix(ops_, spec_.channel_mix, layer_, x);
    }
    return RunMlp(ops_, spec_.mlp, x);
  }
  bool RoutesAtNorm() const { return NormsAndRoutes<Ops> && spec_.mlp.kind == MlpKind::kMoe; }
  Tensor NormedMlp(const NormSpec& norm, const Tensor& x) {
    if (!norm.present()) return Mlp(x);
    if constexpr (NormsAndRoutes<Ops>) {
      if (RoutesAtNorm()) {
        const auto [normed, logits] = ops_.NormRouter(norm, x, spec_.mlp.router);
        return RunMixture(ops_, spec_.mlp, normed, logits);
      }
    }
    return Mlp(ops_.Norm(norm, x));
  }

  Tensor AddThenNorm(Tensor x, const Tensor& branch, const NormSpec& norm) {
    if constexpr (AddsAndNorms<Ops>) {
      if (norm.present())
        return ops_.AddNorm(std::move(x), branch, spec_.residual_scale, norm).second;
    }
    return NormOr(ops_, norm, ops_.Add(std::move(x), branch, spec_.residual_scale));
  }

  Ops& ops_;
  const Architecture& architecture_;
  std::size_t layer_;
  const LayerSpec& spec_;
};

}  // namespace forward_detail

// One layer over the residual stream x: what calibration runs block by block.
template <OpSet Ops>
typename Ops::Tensor RunLayer(Ops& ops, const Architecture& architecture, std::size_t layer,
                              typename Ops::Tensor x) {
  forward_detail::LayerRun<Ops> run(ops, architecture, layer);
  switch (architecture.layers[layer].residual) {
    case ResidualKind::kSequential:
      return run.Sequential(std::move(x));
    case ResidualKind::kPostNorm:
      return run.PostNorm(std::move(x));
    case ResidualKind::kParallel:
      break;
  }
  return run.Parallel(std::move(x));
}

// The layer for rows that left below it with x: their keys and values, nothing else. REQUIRES: a
// layer with attention.
template <OpSet Ops>
requires KeepsKeys<Ops>
void KeepLayer(Ops& ops, const Architecture& architecture, std::size_t layer,
               const typename Ops::Tensor& x) {
  const LayerSpec& spec = architecture.layers[layer];
  const bool normed = spec.residual != ResidualKind::kPostNorm && spec.pre_mixer_norm.present();
  if (normed)
    RunKeysAndValues(ops, architecture, spec.attention, layer, ops.Norm(spec.pre_mixer_norm, x));
  else
    RunKeysAndValues(ops, architecture, spec.attention, layer, x);
}

}  // namespace ingot::model
