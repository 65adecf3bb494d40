// One sequence with a runner of its own: the simplest way through a model.
//
// Thread rule: a session belongs to one thread at a time; sessions over one model are independent.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "loader/loaded_model.h"
#include "loader/runner.h"
#include "loader/sequence.h"

namespace ingot::loader {

struct SessionOptions {
  // Longest sequence in tokens. 0: no bound but a learned position table's; the cache grows as
  // needed.
  std::uint64_t context = 0;
  // Tokens of a prompt run together.
  std::uint64_t prefill_block = 512;
  // How keys and values are kept; by default float32 where the model computes exactly, else
  // float16. kInt8 and kInt4: full pages as codes (loader/kernels/packed_page.h). A model whose
  // heads a format cannot take makes every step fail, saying so.
  enum class Cache { kAuto, kF32, kF16, kInt8, kInt4 } cache = Cache::kAuto;
};

class Session {
 public:
  // The model is kept alive.
  explicit Session(std::shared_ptr<const Model> model, const SessionOptions& options = {});
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Appends tokens and returns the logits (vocab_size) after the last; the span lives until the
  // next call. InvalidArgument for no tokens or an id outside the vocabulary, Limit when the
  // context is full: the session is then as it was. An encoder (architecture().masked) runs a
  // sequence as a whole: InvalidArgument unless the session is empty.
  Result<std::span<const float>> Prefill(std::span<const model::TokenId> ids);
  Result<std::span<const float>> Decode(model::TokenId id) { return Prefill({&id, 1}); }

  // Appends tokens and keeps the hidden states from position `from` of these ids on, for Logits
  // below: evaluation wants many rows, but never all their logits at once. REQUIRES: from <
  // ids.size().
  Result<Tensor> Hidden(std::span<const model::TokenId> ids, std::size_t from);
  // Logits of rows [begin, end) of such hidden states, (end - begin) x vocab_size.
  Tensor Logits(const Tensor& hidden, std::size_t begin, std::size_t end) {
    return runner_.Logits(hidden, begin, end);
  }

  // Forgets everything, or all positions from `length` on. A state cannot go back: with recurrent
  // layers the positions before `length` are run again before the next token.
  void Reset() { Truncate(0); }
  // REQUIRES: length <= position().
  void Truncate(std::uint64_t length) { runner_.Truncate(*sequence_, length); }

  // Of each matrix, that tokens from now on meet (model::Row::planes).
  void SetPlanes(std::uint32_t planes) { planes_ = planes; }

  const Model& model() const { return runner_.model(); }
  Runner& runner() { return runner_; }
  Sequence& sequence() { return *sequence_; }
  std::uint64_t position() const { return sequence_->position(); }
  std::uint64_t context() const { return runner_.context(); }
  std::uint64_t cache_bytes() const {
    return runner_.pool().resident_bytes() + sequence_->state_bytes();
  }
  // The sequence is longer than the model was trained for: obeyed, but expect nonsense.
  bool beyond_trained_length() const { return position() > model().architecture().max_positions; }
  // Called at every layer border of every forward; false ends that forward there: the layers above
  // make keys, values and states of its tokens and nothing else.
  void WatchLayers(std::function<bool(std::size_t layer, Tensor& x)> watch) {
    runner_.ops().after_layer = [watch = std::move(watch)](
                                    std::size_t layer, Tensor& x,
                                    std::span<const std::uint32_t> /*rows*/) {
      const bool goes_on = !watch || watch(layer, x);
      return goes_on ? model::GoingRows() : model::GoingRows(std::in_place);
    };
  }

 private:
  std::uint64_t prefill_block_;
  std::uint32_t planes_ = model::kAllPlanes;
  Runner runner_;
  std::unique_ptr<Sequence> sequence_;
  Tensor logits_;
};

}  // namespace ingot::loader
