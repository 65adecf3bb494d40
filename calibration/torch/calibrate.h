// A calibration run: the model's windows of text, one stage at a time, forward for the inputs of
// every matrix and backward for the gradients of every output, into a statistics file. No LibTorch
// type shows, and its exceptions end here.
//
// Thread rule: one run at a time a process (LibTorch's thread count is the process's); progress is
// called from the calling thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "calibration/cost.h"
#include "calibration/statistics_writer.h"
#include "calibration/text_source.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::calibration {

struct CalibrateOptions {
  std::string output;
  // 0: no gradients, so neither Fisher, cosines nor importance. Spread over all windows.
  std::size_t backward_windows = 0;
  std::uint64_t seed = 0;
  std::uint64_t memory_bytes = 0;  // 0: no bound
  // Where set, the inputs that are summed are those which these weights make: the model as already
  // quantized. Gradients stay the model's own. The digest tells such weights apart.
  const model::Checkpoint* prefix = nullptr;
  std::string prefix_digest;
  // A statistics file of the same model whose gradients, cosines and importance are taken over, so
  // that nothing runs backward. REQUIRES: backward_windows is 0 with it.
  std::string gradients_from;
  StatisticsMetadata metadata;  // added to the file's own
  // A line on what a stage's matrices need: a sum of outer products that is not positive definite,
  // an expert with too few tokens.
  std::function<void(const std::string& note)> on_note;
  std::function<void(std::size_t done, std::size_t total, const std::string& what)> on_progress;
  // Before work starts: what it will take, in seconds and otherwise.
  std::function<void(const CalibrationCost&, const Concurrency&, double seconds, bool resumed)>
      on_plan;
  bool plan_only = false;
};

// Whether the op set can run every layer; Unsupported names the first that it cannot.
Status CheckCanCalibrate(const model::Architecture& architecture);

// Runs, or goes on where a killed run of the same model, windows and options stopped (its work lies
// in OUTPUT.work). Results depend on the seed, never on threads or memory. Errors: as above;
// InvalidArgument for ids outside the vocabulary, windows longer than learned positions, values
// that are not finite (names the stage and the matrix), a prefix or gradients of another model;
// Limit where the memory cannot do; Io.
Status Calibrate(const model::Checkpoint& checkpoint, const model::Architecture& architecture,
                 const TokenWindows& text, const CalibrateOptions& options);

}  // namespace ingot::calibration
