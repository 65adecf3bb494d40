// Ops that an op set may have beside OpSet, because its device does them better at once. The
// forward uses one where it is there and the ops it stands for where it is not; both give the same.
//
// Thread rule: as model/forward/forward.h.
#pragma once

#include <concepts>
#include <utility>

#include "model/architecture/architecture.h"

namespace ingot::model {

// The sum of a product's addends (LinearRef::is_addend) over all who hold some of its columns. The
// forward calls it where a whole product is needed: after the output projection of a mixer and
// after an MLP, on tensors whose last matrix is an addend. (A head cut by rows needs a gather
// instead, and that is its caller's.)
template <class Ops>
concept SumsAddends = requires(Ops& ops, typename Ops::Tensor t) {
  { ops.SumAddends(std::move(t)) } -> std::same_as<typename Ops::Tensor>;
};

// What the routed experts of a mixture add up to, from x and the router's logits: no list of an
// expert's rows ever reaches the host.
template <class Ops>
concept RunsExperts = requires(Ops& ops, const MlpSpec& mlp, const typename Ops::Tensor& x) {
  { ops.RoutedExperts(mlp, x, x) } -> std::same_as<typename Ops::Tensor>;
};

// t + number * x, and the norm of that.
template <class Ops>
concept AddsAndNorms = requires(Ops& ops, typename Ops::Tensor t, const typename Ops::Tensor& x,
                                double number, const NormSpec& norm) {
  {
    ops.AddNorm(std::move(t), x, number, norm)
    } -> std::same_as<std::pair<typename Ops::Tensor, typename Ops::Tensor>>;
};

// The norm of x, and the router's logits over that.
template <class Ops>
concept NormsAndRoutes = requires(Ops& ops, const NormSpec& norm, const typename Ops::Tensor& x,
                                  const LinearRef& router) {
  {
    ops.NormRouter(norm, x, router)
    } -> std::same_as<std::pair<typename Ops::Tensor, typename Ops::Tensor>>;
};

// Products of float32 activations where the others may be of rounded ones: for the few small
// matrices whose outputs are exponentiated or decide a state for the rest of the sequence.
template <class Ops>
concept HasExactLinear = requires(Ops& ops, const LinearRef* ref, const typename Ops::Tensor& x) {
  ops.ExactLinear({ref}, x);
};

// activation(gate x) * (up x): both products and the gate.
template <class Ops>
concept GatesProducts = requires(Ops& ops, const LinearRef& ref, const typename Ops::Tensor& x) {
  { ops.GatedLinear(ref, ref, Activation::kSilu, x) } -> std::same_as<typename Ops::Tensor>;
};

}  // namespace ingot::model
