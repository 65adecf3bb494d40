// RWKV's mixers of the forward: time mixing and channel mixing.
//
// Thread rule: as model/forward/forward.h.
#pragma once

#include <concepts>
#include <cstddef>
#include <utility>

#include "model/architecture/architecture.h"
#include "model/forward/op_set.h"

namespace ingot::model {

// What time mixing carries along a sequence, tokens x inner each; decay of versions 6 and 7 before
// its exponentials, rate of version 7 after its sigmoid.
template <class Tensor>
struct RwkvStreams {
  Tensor receptance, key, value, decay, rate;
};

// States of a layer that an op set keeps, by number.
inline constexpr std::size_t kRwkvTimeShift = 0;
inline constexpr std::size_t kRwkvState = 1;
inline constexpr std::size_t kRwkvChannelShift = 2;

// What an op set needs beyond OpSet to run them. It keeps states by sequence and layer; a row meets
// its own sequence's, after the rows of it that stand before.
template <class Ops>
concept RwkvOps = requires(Ops& ops, typename Ops::Tensor t, const typename Ops::Tensor& x,
                           const RwkvSpec& spec, const RwkvMix& mix, const std::string& name,
                           std::size_t n, RwkvStreams<typename Ops::Tensor> streams) {
  // x[t - 1] - x[t]; state n of the layer keeps the last row.
  { ops.TokenShift(n, n, x) } -> std::same_as<typename Ops::Tensor>;
  // x + delta * m, with m the vector, 1 - it where of_current, or the vector plus `low`'s rows.
  { ops.TokenMix(name, true, x, x) } -> std::same_as<typename Ops::Tensor>;
  { ops.TokenMix(name, x, x, x) } -> std::same_as<typename Ops::Tensor>;
  // The recurrence, with the norm of heads and version 7's bonus: tokens x inner.
  { ops.RwkvScan(spec, n, std::move(streams)) } -> std::same_as<typename Ops::Tensor>;
  // Keeps the values of the first layer; of a later one, v + (first - v) * sigmoid(x).
  { ops.KeepFirstValue(x) } -> std::same_as<void>;
  { ops.BlendFirstValue(std::move(t), x) } -> std::same_as<typename Ops::Tensor>;
};

namespace rwkv_detail {

template <class Ops>
typename Ops::Tensor One(Ops& ops, const LinearRef& ref, const typename Ops::Tensor& x) {
  return std::move(ops.Linear({&ref}, x).front());
}

// A low-rank vector from a token already mixed.
template <class Ops>
typename Ops::Tensor Low(Ops& ops, const LowRank& low, Activation activation,
                         const typename Ops::Tensor& x) {
  return One(ops, low.out, ops.Activate(activation, One(ops, low.in, x)));
}

// The mixed inputs of a layer's projections.
template <class Ops>
class Mixer {
 public:
  using Tensor = typename Ops::Tensor;
  Mixer(Ops& ops, const Tensor& x, const Tensor& delta, const std::string& first_mix)
      : ops_(ops), x_(x), delta_(delta) {
    if (!first_mix.empty()) first_ = ops.TokenMix(first_mix, false, x, delta);
  }
  Tensor operator()(const RwkvMix& mix) {
    if (!mix.low.present()) return ops_.TokenMix(mix.vector, mix.of_current, x_, delta_);
    return ops_.TokenMix(mix.vector, x_, delta_, Low(ops_, mix.low, Activation::kTanh, first_));
  }

 private:
  Ops& ops_;
  const Tensor& x_;
  const Tensor& delta_;
  Tensor first_;
};

}  // namespace rwkv_detail

template <RwkvOps Ops>
typename Ops::Tensor RunMixer(Ops& ops, const Architecture& /*architecture*/, const RwkvSpec& spec,
                              std::size_t layer, const typename Ops::Tensor& x) {
  using rwkv_detail::Low;
  using rwkv_detail::One;
  const auto delta = ops.TokenShift(layer, kRwkvTimeShift, x);
  rwkv_detail::Mixer<Ops> mixed(ops, x, delta, spec.first_mix);
  RwkvStreams<typename Ops::Tensor> streams;
  streams.receptance = One(ops, spec.receptance, mixed(spec.receptance_mix));
  streams.key = One(ops, spec.key, mixed(spec.key_mix));
  const auto value_input = mixed(spec.value_mix);
  streams.value = One(ops, spec.value, value_input);
  if (spec.decay_low.present())
    streams.decay = Low(ops, spec.decay_low, Activation::kTanh, mixed(spec.decay_mix));
  if (spec.version == RwkvVersion::k7) {
    streams.rate = ops.Activate(
        Activation::kSigmoid, Low(ops, spec.rate_low, Activation::kIdentity, mixed(spec.rate_mix)));
    if (spec.value_low.present())
      streams.value = ops.BlendFirstValue(
          std::move(streams.value), Low(ops, spec.value_low, Activation::kIdentity, value_input));
    else
      ops.KeepFirstValue(streams.value);
  }
  auto y = ops.RwkvScan(spec, layer, std::move(streams));
  if (spec.gate_low.present())
    y = ops.Gate(Activation::kIdentity,
                 Low(ops, spec.gate_low, Activation::kSigmoid, mixed(spec.gate_mix)), y);
  else if (spec.gate.present())
    y = ops.Gate(Activation::kSilu, One(ops, spec.gate, mixed(spec.gate_mix)), y);
  return forward_detail::WholeLinear(ops, spec.out, y);
}

template <class Ops>
typename Ops::Tensor RunRwkvChannelMix(Ops& ops, const RwkvChannelMixSpec& spec, std::size_t layer,
                                       const typename Ops::Tensor& x) {
  using rwkv_detail::One;
  const auto delta = ops.TokenShift(layer, kRwkvChannelShift, x);
  rwkv_detail::Mixer<Ops> mixed(ops, x, delta, {});
  auto y = forward_detail::WholeLinear(
      ops, spec.value,
      ops.Activate(Activation::kSquaredRelu, One(ops, spec.key, mixed(spec.key_mix))));
  if (!spec.receptance.present()) return y;
  return ops.Gate(Activation::kSigmoid, One(ops, spec.receptance, mixed(spec.receptance_mix)), y);
}

}  // namespace ingot::model
