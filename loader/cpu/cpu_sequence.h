// What the processor's op set keeps of one sequence: keys and values in pages of a shared pool, the
// states of recurrent layers, and how long the sequence will be.
//
// Thread rule: belongs to one thread, as its pool.
#pragma once

#include <cstdint>
#include <vector>

#include "loader/cpu/kv_pool.h"
#include "loader/cpu/recurrent_state.h"

namespace ingot::loader {

struct CpuSequence {
  CpuSequence(const model::Architecture& architecture, KvPool& pool, std::uint64_t capacity)
      : pages(pool, capacity), state(architecture) {}

  PageTable pages;
  RecurrentState state;
  // Positions when the tokens that are under way are in: what longrope's and dynamic frequencies
  // go by. At least those of the step at hand.
  std::uint64_t expected_length = 0;
};

// Sequences by the number that a batch's rows have. Borrowed.
using CpuSequences = std::vector<CpuSequence*>;

}  // namespace ingot::loader
