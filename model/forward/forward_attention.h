// The attention mixer of the forward, and its part that makes keys and values alone.
//
// Thread rule: as model/forward/forward.h.
#pragma once

#include <concepts>
#include <cstddef>
#include <utility>
#include <vector>

#include "model/architecture/architecture.h"
#include "model/forward/op_set.h"

namespace ingot::model {

// What an op set needs beyond OpSet so that a row that left below a layer still has keys and values
// there: they are appended to the row's sequence, and nobody attends.
template <class Ops>
concept KeepsKeys = requires(Ops& ops, const AttentionSpec& spec, std::size_t layer,
                             const typename Ops::Tensor& x) {
  { ops.KeepKeys(spec, layer, x, x) } -> std::same_as<void>;
};

namespace forward_detail {

// A key or a query that came out of its product: norm, clip, rotation.
template <OpSet Ops>
typename Ops::Tensor Placed(Ops& ops, const Architecture& architecture, const AttentionSpec& spec,
                            const NormSpec& norm, std::size_t heads, typename Ops::Tensor x) {
  if (norm.present()) x = ops.HeadNorm(norm, std::move(x), spec.norm_all_heads ? 1 : heads);
  if (spec.clip_qkv > 0) x = ops.Clamp(std::move(x), spec.clip_qkv);
  if (spec.rope < architecture.ropes.size() && architecture.ropes[spec.rope].dims > 0)
    x = ops.Rope(spec.rope, spec.head_dim, std::move(x));
  return x;
}

template <OpSet Ops>
typename Ops::Tensor Clipped(Ops& ops, const AttentionSpec& spec, typename Ops::Tensor value) {
  return spec.clip_qkv > 0 ? ops.Clamp(std::move(value), spec.clip_qkv) : std::move(value);
}

}  // namespace forward_detail

// Queries, keys, values; per-head norms; rotation; attention; output projection.
template <OpSet Ops>
typename Ops::Tensor RunMixer(Ops& ops, const Architecture& architecture, const AttentionSpec& spec,
                              std::size_t layer, const typename Ops::Tensor& x) {
  using namespace forward_detail;
  std::vector<typename Ops::Tensor> qkv;
  if (spec.qkv.present()) {
    const auto fused = OneLinear(ops, spec.qkv, x);
    for (const ColumnSlice* slice : {&spec.q_columns, &spec.k_columns, &spec.v_columns})
      qkv.push_back(ops.Columns(fused, *slice));
  } else {
    qkv = ops.Linear({&spec.q, &spec.k, &spec.v}, x);
  }
  auto q = Placed(ops, architecture, spec, spec.q_norm, spec.heads, std::move(qkv[0]));
  auto k = Placed(ops, architecture, spec, spec.k_norm, spec.kv_heads, std::move(qkv[1]));
  auto v = Clipped(ops, spec, std::move(qkv[2]));
  const auto mixed = ops.Attention(spec, layer, std::move(q), std::move(k), std::move(v));
  return WholeLinear(ops, spec.o, mixed);
}

// Keys and values of rows that nobody asks this layer about, appended to their sequences.
template <OpSet Ops>
requires KeepsKeys<Ops>
void RunKeysAndValues(Ops& ops, const Architecture& architecture, const AttentionSpec& spec,
                      std::size_t layer, const typename Ops::Tensor& x) {
  using namespace forward_detail;
  std::vector<typename Ops::Tensor> kv;
  if (spec.qkv.present()) {
    const auto fused = OneLinear(ops, spec.qkv, x);
    for (const ColumnSlice* slice : {&spec.k_columns, &spec.v_columns})
      kv.push_back(ops.Columns(fused, *slice));
  } else {
    kv = ops.Linear({&spec.k, &spec.v}, x);
  }
  const auto k = Placed(ops, architecture, spec, spec.k_norm, spec.kv_heads, std::move(kv[0]));
  ops.KeepKeys(spec, layer, k, Clipped(ops, spec, std::move(kv[1])));
}

}  // namespace ingot::model
