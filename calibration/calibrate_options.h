// What a calibration is asked for.
//
// Thread rule: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "calibration/cost.h"
#include "calibration/statistics_writer.h"
#include "model/source/checkpoint.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::calibration {

// How far a pass is; each pass counts from 0 to its own total.
struct PassProgress {
  std::string_view counted;  // "windows forward": tells the pass, too
  std::size_t done = 0;
  std::size_t total = 0;
  std::string stage;  // that it is in
};

struct CalibrateOptions {
  std::string output;
  // 0: no gradients, so neither Fisher, cosines nor importance. Spread over all windows.
  std::size_t backward_windows = 0;
  // Without LibTorch: tokens of a window over which each matrix's output is disturbed, to measure
  // how much the model hears of it (calibration/cpu/probes.h); 0: no such measurement.
  std::size_t probe_tokens = 0;
  std::uint64_t seed = 0;
  std::uint64_t memory_bytes = 0;  // 0: no bound
  // Where set, the inputs that are summed are those which these weights make: the model as already
  // quantized. Gradients stay the model's own. The digest tells such weights apart.
  const model::Checkpoint* prefix = nullptr;
  std::string prefix_digest;
  // A statistics file of the same model whose gradients, cosines and importance are taken over, so
  // that nothing runs backward. REQUIRES: backward_windows is 0 with it.
  std::string gradients_from;
  // Windows of text that are no part of it: kept in the file as "held_out/ids", windows x context,
  // for whoever measures by them.
  std::vector<std::vector<model::TokenId>> held_out;
  StatisticsMetadata metadata;  // added to the file's own
  // A line on what a stage's matrices need: a sum of outer products that is not positive definite,
  // an expert with too few tokens.
  std::function<void(const std::string& note)> on_note;
  // Between windows; an error ends the run with it, and leaves what a kill leaves.
  std::function<Status(const PassProgress&)> on_progress;
  // Before work starts: what it will take, in seconds and otherwise.
  std::function<void(const CalibrationCost&, const Concurrency&, double seconds, bool resumed)>
      on_plan;
  bool plan_only = false;
};

}  // namespace ingot::calibration
