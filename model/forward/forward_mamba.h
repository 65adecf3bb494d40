// The state-space mixers of the forward: Mamba and Mamba-2.
//
// Thread rule: as model/forward/forward.h.
#pragma once

#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <utility>

#include "model/architecture/architecture.h"
#include "model/forward/op_set.h"
#include "model/forward/optional_ops.h"

namespace ingot::model {

// What an op set needs beyond OpSet to run them. It keeps states by sequence and layer; a row meets
// its own sequence's, after the rows of it that stand before.
template <class Ops>
concept MambaOps = requires(Ops& ops, typename Ops::Tensor t, const typename Ops::Tensor& x,
                            const CausalConvSpec& conv, const MambaSpec& mamba,
                            const Mamba2Spec& mamba2, const NormSpec& norm, std::size_t n) {
  // The convolution with its activation; the layer's state keeps the last inputs.
  { ops.CausalConv(conv, n, x) } -> std::same_as<typename Ops::Tensor>;
  // x, time step before softplus (both tokens x inner), b, c (tokens x state).
  { ops.SelectiveScan(mamba, n, x, x, x, x) } -> std::same_as<typename Ops::Tensor>;
  // x, B and C side by side, and the time step before bias and softplus (tokens x heads).
  { ops.SsdScan(mamba2, n, x, x) } -> std::same_as<typename Ops::Tensor>;
  // Each of n equal parts of a row normalized for itself; the weight spans the row.
  { ops.GroupNorm(norm, std::move(t), n) } -> std::same_as<typename Ops::Tensor>;
};

namespace forward_detail {

// What selects: time steps and the vectors that write and read the state (x_proj, dt_proj).
template <class Ops>
auto SelectingLinear(Ops& ops, std::initializer_list<const LinearRef*> refs,
                     const typename Ops::Tensor& x) {
  if constexpr (HasExactLinear<Ops>)
    return ops.ExactLinear(refs, x);
  else
    return ops.Linear(refs, x);
}

}  // namespace forward_detail

template <MambaOps Ops>
typename Ops::Tensor RunMixer(Ops& ops, const Architecture& /*architecture*/, const MambaSpec& spec,
                              std::size_t layer, const typename Ops::Tensor& in) {
  auto xz = ops.Linear({&spec.x, &spec.z}, in);
  const auto x = ops.CausalConv(spec.conv, layer, xz[0]);
  auto selected = forward_detail::SelectingLinear(ops, {&spec.dt, &spec.b, &spec.c}, x);
  const NormSpec* norms[] = {&spec.dt_norm, &spec.b_norm, &spec.c_norm};
  for (std::size_t i = 0; i < 3; ++i)
    if (norms[i]->present()) selected[i] = ops.Norm(*norms[i], selected[i]);
  const auto step =
      std::move(forward_detail::SelectingLinear(ops, {&spec.time_step}, selected[0]).front());
  const auto y = ops.SelectiveScan(spec, layer, x, step, selected[1], selected[2]);
  const auto gated = ops.Gate(Activation::kSilu, std::move(xz[1]), y);
  return forward_detail::WholeLinear(ops, spec.out, gated);
}

template <MambaOps Ops>
typename Ops::Tensor RunMixer(Ops& ops, const Architecture& /*architecture*/,
                              const Mamba2Spec& spec, std::size_t layer,
                              const typename Ops::Tensor& in) {
  auto parts = ops.Linear({&spec.z, &spec.xbc, &spec.dt}, in);
  const auto scanned =
      ops.SsdScan(spec, layer, ops.CausalConv(spec.conv, layer, parts[1]), parts[2]);
  auto y = ops.Gate(Activation::kSilu, std::move(parts[0]), scanned);
  if (spec.norm.present()) y = ops.GroupNorm(spec.norm, std::move(y), spec.norm_groups);
  return forward_detail::WholeLinear(ops, spec.out, y);
}

}  // namespace ingot::model
