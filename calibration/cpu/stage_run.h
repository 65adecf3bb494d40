// A stage over one window of tokens: the loader's op set with pages, states and borders of a
// sequence that begins and ends with it.
//
// Thread rule: belongs to one thread; ops are parallel inside.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "calibration/cpu/stage_model.h"
#include "calibration/cpu/watched_ops.h"
#include "loader/cpu/cpu_sequence.h"
#include "loader/cpu/kv_pool.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::calibration {

class StageRun {
 public:
  // `architecture` is the whole model's; the stage must outlive this.
  StageRun(const model::Architecture& architecture, const StageModel& stage, std::size_t number);

  // The stage over `ids` from an empty sequence. `x` is what the stage before left, ids.size() x
  // BorderWidth, unused by the embedding; `y`, as large, gets what this one leaves, where it is not
  // empty. The head leaves nothing: see Logits. The op set's errors.
  Status Run(std::span<const model::TokenId> ids, std::span<const float> x, std::span<float> y);
  // The head's logits of rows [begin, end) of x. REQUIRES: the head.
  Result<loader::Tensor> Logits(std::span<const float> x, std::size_t begin, std::size_t end);

  WatchedOps& ops() { return ops_; }

 private:
  loader::Tensor Hidden(std::span<const float> x, std::size_t begin, std::size_t end);

  const StageModel* stage_;
  bool is_head_;
  std::size_t hidden_, beside_;  // floats of a token at a border: its state, and what goes along
  loader::KvPool pool_;
  loader::CpuSequences sequences_;
  WatchedOps ops_;
};

}  // namespace ingot::calibration
