// What running an artifact takes of memory.
//
// Thread rule: a function without state.
#pragma once

#include <cstdint>

#include "inspect/summary.h"

namespace ingot::jobs {

struct RunMemory {
  std::uint64_t weight_bytes = 0;  // decoded, or mapped from the file
  std::uint64_t file_bytes = 0;    // of the file, mapped beside what was decoded from them
  std::uint64_t cache_bytes = 0;   // keys, values and states of `tokens` tokens
  std::uint64_t other_bytes = 0;   // the process itself, activations, the tokenizer
  std::uint64_t total() const { return weight_bytes + file_bytes + cache_bytes + other_bytes; }
};

// Of one sequence of `tokens` tokens. An estimate: weights whose kernels want another form than the
// file's are counted as decoded.
RunMemory RunMemoryOf(const inspect::Summary& summary, std::uint64_t tokens);

}  // namespace ingot::jobs
