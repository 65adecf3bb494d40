// What a calibration run will need, from the architecture alone: said before it starts, and refused
// where it cannot fit.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "model/architecture/architecture.h"

namespace ingot::calibration {

// What a process needs before it loads a weight: LibTorch, its matrix library's buffers, the
// tokenizer and the allocators' slack, as measured; and without LibTorch.
inline constexpr std::uint64_t kTorchProcessBytes = std::uint64_t{450} << 20;
inline constexpr std::uint64_t kPlainProcessBytes = std::uint64_t{64} << 20;

struct RunSize {
  std::size_t windows = 0;
  std::size_t backward_windows = 0;
  std::size_t context = 0;
  std::uint64_t process_bytes = kTorchProcessBytes;
};

struct CalibrationCost {
  // Of the most expensive stage: weights as float32, sums of outer products, what the process needs
  // at all. Does not depend on the text's length.
  std::uint64_t fixed_bytes = 0;
  // A window in flight, of the most expensive stage and pass.
  std::uint64_t window_bytes = 0;
  // A window whose inputs wait to be summed.
  std::uint64_t waiting_bytes = 0;
  std::uint64_t work_bytes = 0;    // on disk while it runs: activations and parts
  std::uint64_t output_bytes = 0;  // the statistics file
  double multiply_adds = 0;
};

CalibrationCost EstimateCost(const model::Architecture& architecture, const RunSize& size);

// Windows in flight and windows held at once under a budget. Limit, with the least that would do,
// where not even one fits.
struct Concurrency {
  std::size_t running = 1;
  std::size_t held = 1;
};
Result<Concurrency> FitConcurrency(const CalibrationCost& cost, std::uint64_t memory_bytes,
                                   std::size_t threads, std::size_t windows);

}  // namespace ingot::calibration
