// What tuning is asked for, and what it gives. No LibTorch type shows.
//
// Thread rule: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "calibration/packed_model.h"

namespace ingot::calibration {

struct TuneOptions {
  std::string work;                // a directory for activations, made and removed
  std::size_t epochs = 4;          // over the windows that are not held out
  std::size_t batch_windows = 4;   // of one step
  double rate = 2e-3;              // of the first step, relative to a value; falls to 0 as a cosine
  std::uint64_t seed = 0;          // of the order of windows
  std::uint64_t memory_bytes = 0;  // 0: no bound
  // Before each layer and after the last; an error ends the run with it, and leaves nothing.
  std::function<Status(std::size_t layers, std::size_t total)> on_progress;
};

struct TunedBlock {
  std::size_t layer = 0;
  std::size_t parameters = 0;
  // Mean over held-out tokens of |output - source's|^2 / |source's|^2.
  double before = 0;
  double after = 0;  // of what was learned, kept or not
  bool kept = false;
};

struct TuneResult {
  std::vector<TunedBlock> blocks;
  std::size_t windows = 0, held_out = 0;
  std::map<std::string, std::vector<NewStream>> streams;  // by tensor, those that changed
};

}  // namespace ingot::calibration
