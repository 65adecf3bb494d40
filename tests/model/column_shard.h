// One device's share of a decoder: some heads, some columns of every MLP.
#pragma once

#include <cstddef>
#include <utility>

#include "model/architecture/architecture.h"

namespace ingot {

// REQUIRES: attention with separate q, k and v, dense MLPs, numbers that divide by `shards`.
inline model::Architecture ColumnShard(model::Architecture a, std::size_t shard,
                                       std::size_t shards) {
  const auto rows = [&](model::LinearRef& ref) {
    ref.rows /= shards;
    ref.row_begin += shard * ref.rows;
  };
  const auto columns = [&](model::LinearRef& ref) {
    ref.stored_cols = ref.cols;
    ref.cols /= shards;
    ref.col_begin = shard * ref.cols;
    if (shard > 0) ref.bias.clear();
  };
  for (model::LayerSpec& layer : a.layers) {
    layer.attention.heads /= shards;
    layer.attention.kv_heads /= shards;
    for (model::LinearRef* ref : {&layer.attention.q, &layer.attention.k, &layer.attention.v,
                                  &layer.mlp.gate, &layer.mlp.up})
      if (ref->present()) rows(*ref);
    columns(layer.attention.o);
    columns(layer.mlp.down);
  }
  return a;
}

}  // namespace ingot
