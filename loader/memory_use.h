// Where a process's memory is: what the system says of it, and how much of that weights, cache and
// activations take. Nothing is estimated: kinds are counted where they are allocated, mapped
// weights by the pages of the file that are in memory; the rest of what the system says is `other`.
//
// Thread rule: reads the state of its arguments; call from the thread that they belong to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "loader/loaded_model.h"
#include "loader/runner.h"

namespace ingot::loader {

struct MemoryUse {
  std::uint64_t weights = 0;      // planes, held or mapped and in memory
  std::uint64_t cache = 0;        // keys, values, states
  std::uint64_t activations = 0;  // tensors of forwards and scratch space
  // nullopt where the system does not say.
  std::optional<std::uint64_t> other;
  std::optional<std::uint64_t> resident;       // now
  std::optional<std::uint64_t> peak_resident;  // of the process so far
};

MemoryUse MeasureMemory(const Model& model, const Runner& runner);

// Memory that could be taken now without swapping, by the system and by the control groups that the
// process is in; nullopt where neither says.
std::optional<std::uint64_t> AvailableMemory();

}  // namespace ingot::loader
