// The rows of a step whose sequences carry states: a run is one sequence's rows, side by side.
#pragma once

#include <cstdint>

namespace ingot::cuda {

struct ScanRuns {
  float* const* states = nullptr;        // of each run's sequence
  const std::int32_t* begins = nullptr;  // count + 1: run i has rows [begins[i], begins[i + 1])
  std::int64_t at = 0;                   // where this state begins among a sequence's, in floats
  int count = 0;                         // up to 65535
};

inline bool TakesRuns(const ScanRuns& runs) {
  return runs.count >= 0 && runs.count <= 65535 && runs.at >= 0;
}

}  // namespace ingot::cuda
