// What a calibration is asked for.
//
// Thread rule: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "calibration/cost.h"
#include "calibration/statistics_writer.h"
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

}  // namespace ingot::calibration
