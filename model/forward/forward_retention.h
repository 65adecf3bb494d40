// The retention mixer of the forward (RetNet).
//
// Thread rule: as model/forward/forward.h.
#pragma once

#include <concepts>
#include <cstddef>
#include <utility>

#include "model/architecture/architecture.h"
#include "model/forward/op_set.h"

namespace ingot::model {

// What an op set needs beyond OpSet to run it. It keeps states by sequence and layer; a row meets
// its own sequence's, after the rows of it that stand before.
template <class Ops>
concept RetentionOps = requires(Ops& ops, const typename Ops::Tensor& x, const RetentionSpec& spec,
                                std::size_t n) {
  // Rotated queries and keys (tokens x heads * key_dim), values (tokens x heads * value_dim).
  { ops.Retention(spec, n, x, x, x) } -> std::same_as<typename Ops::Tensor>;
};

template <RetentionOps Ops>
typename Ops::Tensor RunMixer(Ops& ops, const Architecture& /*architecture*/,
                              const RetentionSpec& spec, std::size_t layer,
                              const typename Ops::Tensor& in) {
  auto parts = ops.Linear({&spec.q, &spec.k, &spec.v, &spec.gate}, in);
  const auto q = ops.Rope(spec.rope, spec.key_dim, std::move(parts[0]));
  const auto k = ops.Rope(spec.rope, spec.key_dim, std::move(parts[1]));
  auto y = ops.Retention(spec, layer, q, k, parts[2]);
  if (spec.norm.present()) y = ops.HeadNorm(spec.norm, std::move(y), spec.heads);
  const auto gated = ops.Gate(spec.activation, std::move(parts[3]), y);
  return forward_detail::WholeLinear(ops, spec.out, gated);
}

}  // namespace ingot::model
