// One sequence of a runner: its tokens, what the model remembers of them, and how the next one is
// drawn. Runner opens sequences and is the only one to move them on.
//
// Thread rule: as its runner's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "loader/cpu/cpu_sequence.h"
#include "loader/sampler.h"
#include "loader/waiting_rows.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::loader {

class Runner;

class Sequence {
 public:
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;
  ~Sequence();

  // What the rows of a batch call it; another sequence may get it when this one is gone.
  std::uint32_t number() const { return number_; }
  std::span<const model::TokenId> ids() const { return ids_; }
  std::uint64_t position() const { return ids_.size(); }
  std::uint64_t capacity() const { return state_.pages.capacity(); }
  std::uint64_t state_bytes() const { return state_.state.resident_bytes(); }

  // For whoever continues the sequence.
  std::optional<Sampler> sampler;

 private:
  friend class Runner;
  Sequence(Runner& runner, std::uint32_t number, CpuSequence state)
      : runner_(&runner), number_(number), state_(std::move(state)) {}

  Runner* runner_;
  std::uint32_t number_;
  CpuSequence state_;
  std::vector<model::TokenId> ids_;
  std::vector<std::uint32_t> planes_;  // that each of ids_ was run with
  // Pages hold less than the tokens, and states nothing: those that are not held must be run again
  // before others are.
  bool stale_ = false;
  std::vector<WaitingRow> waiting_;  // of ids_, by position
};

}  // namespace ingot::loader
