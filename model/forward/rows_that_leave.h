// Rows of a batch that leave at a layer border, and what the layers above still need of them.
//
// The rule: a row that left keeps its hidden state, and every layer above takes that state as its
// input of this row. Attention makes the row's key and value from it and nothing else; a recurrent
// layer, whose state depends on all that a layer computes, runs it with the rest and drops what
// comes out. So no position of a sequence is ever without keys, values and states, and what later
// rows see does not depend on which batch they share.
//
// Thread rule: as model/forward/forward.h.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "model/architecture/architecture.h"
#include "model/forward/batch.h"
#include "model/forward/forward_attention.h"
#include "model/forward/forward_layer.h"

namespace ingot::model {

// Which rows of what a layer gave go on: all, or those named, ascending.
using GoingRows = std::optional<std::vector<std::uint32_t>>;

// An op set that may let rows leave. AfterLayer gets what left the layer and which rows of the
// batch that is, and says which of them (by their place in x) go on; once none does it is not asked
// again.
template <class Ops>
concept WatchesLayers = KeepsKeys<Ops> &&
    requires(Ops& ops, typename Ops::Tensor t, typename Ops::Tensor& x,
             std::span<const std::uint32_t> rows) {
  { ops.AfterLayer(std::size_t{0}, x, rows) } -> std::same_as<GoingRows>;
  // t with the rows of x in place of its rows `rows`.
  { ops.PutRows(std::move(t), x, rows) } -> std::same_as<typename Ops::Tensor>;
};

// A batch on its way through the layers.
template <class Ops>
requires WatchesLayers<Ops>
class Passage {
 public:
  using Tensor = typename Ops::Tensor;
  // REQUIRES: ops.Begin(batch) was called; all outlive this.
  Passage(Ops& ops, const Architecture& architecture, const Batch& batch)
      : ops_(ops), architecture_(architecture), batch_(batch), going_(batch.rows.size()) {
    std::iota(going_.begin(), going_.end(), 0u);
  }

  // One layer over the rows that go on, x. Then some may leave.
  Tensor Layer(std::size_t layer, Tensor x) {
    x = left_.empty() ? RunLayer(ops_, architecture_, layer, std::move(x))
                      : LayerWithoutSome(layer, std::move(x));
    if (going_.empty()) return x;
    if (const GoingRows going = ops_.AfterLayer(layer, x, going_)) return Leave(layer, *going, x);
    return x;
  }

  // The hidden states of all rows of the batch, those that left with what they left with.
  Tensor Finish(Tensor x) {
    if (left_.empty()) return x;
    ops_.Begin(batch_);
    for (const auto& [said, rows] : said_) kept_ = ops_.PutRows(std::move(kept_), said, rows);
    return ops_.PutRows(std::move(kept_), x, going_);
  }

 private:
  // Rows of the batch, as a batch.
  class Part {
   public:
    Part(const Batch& batch, std::span<const std::uint32_t> which) {
      for (const std::uint32_t row : which) {
        ids_.push_back(batch.ids[row]);
        rows_.push_back(batch.rows[row]);
      }
    }
    Batch batch() const { return {ids_, rows_}; }

   private:
    std::vector<std::int32_t> ids_;
    std::vector<Row> rows_;
  };

  // What the head is to see of rows that leave now, where an op set has something else than their
  // states, which layers above still need.
  void KeepSaid(std::size_t layer, const std::vector<std::uint32_t>& left) {
    if constexpr (requires { ops_.at_exit(layer, kept_); }) {
      if (!ops_.at_exit) return;
      Tensor said = ops_.Select(kept_, left);
      ops_.at_exit(layer, said);
      said_.emplace_back(std::move(said), left);
    }
  }

  Tensor Leave(std::size_t layer, const std::vector<std::uint32_t>& going, const Tensor& x) {
    if (left_.empty()) kept_ = ops_.ZerosLike(x);
    kept_ = ops_.PutRows(std::move(kept_), x, going_);  // those that go on are put again at the end
    std::vector<std::uint32_t> next;
    for (const std::uint32_t place : going) next.push_back(going_[place]);
    std::vector<std::uint32_t> left;
    std::set_difference(going_.begin(), going_.end(), next.begin(), next.end(),
                        std::back_inserter(left));
    KeepSaid(layer, left);
    left_.insert(left_.end(), left.begin(), left.end());
    std::sort(left_.begin(), left_.end());
    going_ = std::move(next);
    return ops_.Select(x, going);
  }

  Tensor LayerWithoutSome(std::size_t layer, Tensor x) {
    const LayerSpec& spec = architecture_.layers[layer];
    if (spec.mixer != MixerKind::kAttention) {
      ops_.Begin(batch_);
      return ops_.Select(
          RunLayer(ops_, architecture_, layer, ops_.PutRows(ops_.Select(kept_, All()), x, going_)),
          going_);
    }
    const Part left(batch_, left_);
    ops_.Begin(left.batch());
    if (!KeptAsZeros(spec, layer)) KeepLayer(ops_, architecture_, layer, ops_.Select(kept_, left_));
    if (going_.empty()) return x;
    const Part going(batch_, going_);
    ops_.Begin(going.batch());
    return RunLayer(ops_, architecture_, layer, std::move(x));
  }

  // Where an op set keeps nothing of rows that left.
  bool KeptAsZeros(const LayerSpec& spec, std::size_t layer) {
    if constexpr (requires { ops_.KeepZeros(spec.attention, layer); })
      return ops_.KeepZeros(spec.attention, layer);
    return false;
  }

  std::vector<std::uint32_t> All() const {
    std::vector<std::uint32_t> all(batch_.rows.size());
    std::iota(all.begin(), all.end(), 0u);
    return all;
  }

  Ops& ops_;
  const Architecture& architecture_;
  const Batch& batch_;
  std::vector<std::uint32_t> going_, left_;  // rows of the batch, ascending
  std::vector<std::pair<Tensor, std::vector<std::uint32_t>>> said_;  // and of which rows
  Tensor kept_;                              // as many rows as the batch; those of left_ count
};

}  // namespace ingot::model
