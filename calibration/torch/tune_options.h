// What tuning is asked for, and what it says of a block.
//
// Thread rule: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "calibration/packed_model.h"

namespace ingot::calibration {

struct TuneOptions {
  std::string work;                // a directory for activations, made and removed
  std::size_t epochs = 4;          // over the windows that are not held out
  std::size_t batch_windows = 4;   // of one step
  double rate = 2e-3;              // of the first step, relative to a value; falls to 0 as a cosine
  std::uint64_t seed = 0;          // of the order of windows
  std::uint64_t memory_bytes = 0;  // 0: no bound
  std::function<void(std::size_t done, std::size_t total, const std::string& what)> on_progress;
};

struct TunedBlock {
  std::size_t layer = 0;
  std::size_t parameters = 0;
  // Mean over held-out tokens of |output - source's|^2 / |source's|^2.
  double before = 0;
  double after = 0;  // of what was learned, kept or not
  bool kept = false;
};

}  // namespace ingot::calibration
