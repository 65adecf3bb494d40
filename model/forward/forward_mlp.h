// The MLPs of the forward: dense, and mixtures of experts. RWKV's channel mixing, which has a
// state, is in forward_rwkv.h.
//
// Thread rule: as model/forward/forward.h.
#pragma once

#include <cstddef>
#include <utility>

#include "model/architecture/architecture.h"
#include "model/forward/op_set.h"

namespace ingot::model {
namespace forward_detail {

// The product of a dense MLP, or this device's addend of it. REQUIRES: kGated or kPlain.
template <OpSet Ops>
typename Ops::Tensor RunDense(Ops& ops, const MlpSpec& spec, const typename Ops::Tensor& x) {
  if (spec.kind == MlpKind::kPlain) {
    auto inner = ops.Activate(spec.activation, OneLinear(ops, spec.up, x));
    return OneLinear(ops, spec.down, NormOr(ops, spec.inner_norm, std::move(inner)));
  }
  if constexpr (GatesProducts<Ops>) {
    return OneLinear(ops, spec.down, ops.GatedLinear(spec.gate, spec.up, spec.activation, x));
  } else {
    auto pair = ops.Linear({&spec.gate, &spec.up}, x);
    return OneLinear(ops, spec.down,
                     ops.Gate(spec.activation, std::move(pair[0]), std::move(pair[1])));
  }
}

template <OpSet Ops>
typename Ops::Tensor RunRouted(Ops& ops, const MlpSpec& spec, const typename Ops::Tensor& x,
                               const typename Ops::Tensor& logits) {
  if constexpr (RunsExperts<Ops>) {
    return ops.RoutedExperts(spec, x, logits);
  } else {
    const auto routes = ops.Route(logits, spec.experts_per_token, spec.normalize_expert_weights);
    auto sum = ops.ZerosLike(x);
    for (std::size_t e = 0; e < spec.experts.size(); ++e) {
      if (!ops.HasRows(routes, e)) continue;
      sum = ops.AddRows(std::move(sum), RunDense(ops, spec.experts[e], ops.TakeRows(x, routes, e)),
                        routes, e);
    }
    return sum;
  }
}

// A mixture over x, whose router's logits are there.
template <OpSet Ops>
typename Ops::Tensor RunMixture(Ops& ops, const MlpSpec& spec, const typename Ops::Tensor& x,
                                const typename Ops::Tensor& logits) {
  auto sum = RunRouted(ops, spec, x, logits);
  for (const MlpSpec& shared : spec.shared_expert) {
    auto y = RunDense(ops, shared, x);
    if (spec.shared_gate.present())
      y = ops.GateRows(std::move(y), OneLinear(ops, spec.shared_gate, x));
    sum = ops.Add(std::move(sum), y, 1.0);
  }
  // The experts of a mixture are cut alike.
  return Whole(ops, spec.experts[0].down, std::move(sum));
}

}  // namespace forward_detail

// REQUIRES: not kRwkvChannelMix.
template <OpSet Ops>
typename Ops::Tensor RunMlp(Ops& ops, const MlpSpec& spec, const typename Ops::Tensor& x) {
  using namespace forward_detail;
  switch (spec.kind) {
    case MlpKind::kGated:
    case MlpKind::kPlain:
      return Whole(ops, spec.down, RunDense(ops, spec, x));
    case MlpKind::kMoe:
      return RunMixture(ops, spec, x, OneLinear(ops, spec.router, x));
    case MlpKind::kNone:
    case MlpKind::kRwkvChannelMix:
      break;
  }
  return ops.ZerosLike(x);
}

}  // namespace ingot::model
