// The one forward: walks an Architecture over an op set that it does not know (op_set.h); a new
// family adds data, not a forward. This is the whole of it; a layer is in forward_layer.h.
//
// Thread rule: a forward belongs to the thread that calls it; what is parallel lies inside the ops.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "model/architecture/architecture.h"
#include "model/forward/batch.h"
#include "model/forward/forward_layer.h"
#include "model/forward/op_set.h"
#include "model/forward/rows_that_leave.h"

namespace ingot::model {

// Token and position embeddings: the residual stream before layer 0. REQUIRES: ops.Begin(batch).
template <OpSet Ops>
typename Ops::Tensor RunEmbedding(Ops& ops, const Architecture& architecture, const Batch& batch) {
  auto x = ops.Embed(architecture.embedding, batch.ids);
  if (architecture.embedding_projection.present())
    x = forward_detail::OneLinear(ops, architecture.embedding_projection, x);
  if (architecture.embedding_scale != 1) x = ops.Scale(std::move(x), architecture.embedding_scale);
  if (!architecture.position_embedding.empty()) {
    std::vector<std::int32_t> places;
    for (const Row& row : batch.rows)
      places.push_back(row.position + static_cast<std::int32_t>(architecture.position_offset));
    x = ops.Add(std::move(x), ops.Embed(architecture.position_embedding, places), 1.0);
  }
  if (!architecture.segment_embedding.empty()) {
    const std::vector<std::int32_t> first(batch.ids.size(), 0);
    x = ops.Add(std::move(x), ops.Embed(architecture.segment_embedding, first), 1.0);
  }
  return forward_detail::NormOr(ops, architecture.embedding_norm, std::move(x));
}

// Hidden states that leave the last layer, before the final norm, a row per row of the batch; of
// rows that left below it, what they left with. Layers of `left_out`, ascending, are not run and
// keep nothing of the rows: for drafts, which are taken back. REQUIRES: no row leaves where layers
// are left out, and the first is not.
template <OpSet Ops>
typename Ops::Tensor RunLayers(Ops& ops, const Architecture& architecture, const Batch& batch,
                               std::span<const std::size_t> left_out = {}) {
  ops.Begin(batch);
  auto x = RunEmbedding(ops, architecture, batch);
  const auto runs = [&](std::size_t layer) {
    return !std::binary_search(left_out.begin(), left_out.end(), layer);
  };
  if constexpr (WatchesLayers<Ops>) {
    Passage<Ops> passage(ops, architecture, batch);
    for (std::size_t layer = 0; layer < architecture.layers.size(); ++layer)
      if (runs(layer)) x = passage.Layer(layer, std::move(x));
    return passage.Finish(std::move(x));
  } else {
    for (std::size_t layer = 0; layer < architecture.layers.size(); ++layer)
      if (runs(layer)) x = RunLayer(ops, architecture, layer, std::move(x));
    return x;
  }
}

// What an exit's router says of rows that are at its layer: a number each.
template <OpSet Ops>
typename Ops::Tensor RunExitRouter(Ops& ops, const ExitSpec& exit, const typename Ops::Tensor& x) {
  using forward_detail::OneLinear;
  const auto up = [&](const typename Ops::Tensor& in) {
    return ops.Activate(Activation::kSilu, OneLinear(ops, exit.up, in));
  };
  return OneLinear(ops, exit.down, exit.norm.present() ? up(ops.Norm(exit.norm, x)) : up(x));
}

// Logits of the selected rows: the head is the widest matrix, so nobody pays for rows not asked
// for.
template <OpSet Ops>
typename Ops::Tensor RunHead(Ops& ops, const Architecture& architecture,
                             const typename Ops::Tensor& hidden,
                             std::span<const std::uint32_t> rows) {
  auto x = forward_detail::NormOr(ops, architecture.final_norm, ops.Select(hidden, rows));
  if (architecture.head_projection.present())
    x = forward_detail::OneLinear(ops, architecture.head_projection, x);
  if (architecture.head_dense.present()) {
    x = ops.Activate(architecture.head_activation,
                     forward_detail::OneLinear(ops, architecture.head_dense, x));
    x = forward_detail::NormOr(ops, architecture.head_norm, std::move(x));
  }
  auto logits = forward_detail::OneLinear(ops, architecture.head, x);
  if (architecture.logit_scale != 1)
    logits = ops.Scale(std::move(logits), architecture.logit_scale);
  if (architecture.logit_softcap > 0)
    logits = ops.Softcap(std::move(logits), architecture.logit_softcap);
  return logits;
}

// Logits, rows.size() x vocab_size, of a batch.
template <OpSet Ops>
typename Ops::Tensor Forward(const Architecture& architecture, Ops& ops, const Batch& batch,
                             std::span<const std::uint32_t> rows) {
  return RunHead(ops, architecture, RunLayers(ops, architecture, batch), rows);
}

}  // namespace ingot::model
