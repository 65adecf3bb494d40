// Statistics of a model over given text, or over text that it writes itself: everything but the
// passes, which need LibTorch.
//
// Thread rule: one at a time a process, as calibration itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "calibration/calibrate_options.h"
#include "calibration/cost.h"
#include "calibration/text_source.h"
#include "jobs/job.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::jobs {

// What a calibration will take.
struct CalibrationPlan {
  std::vector<std::string> sources;  // of the text
  std::uint64_t memory_bytes = 0;    // allowed
  calibration::CalibrationCost cost;
  calibration::Concurrency fit;
  double seconds = 0;
  bool resumed = false;  // goes on where an earlier run stopped
};

inline constexpr std::uint64_t kBackwardTokens = 16384;  // at most, where nobody says
inline constexpr std::size_t kProbeTokens = 128;

struct CalibrateJobOptions {
  std::string model, output;
  // FILE[:WEIGHT], of which FILE "self" is what the model writes; none: "self" alone.
  std::vector<std::string> texts;
  std::uint64_t tokens = 65536;
  // Of these, with gradients; absent: kBackwardTokens at most, none without LibTorch.
  std::optional<std::uint64_t> backward_tokens;
  // Without LibTorch: tokens over which each matrix is disturbed, 0: none.
  std::size_t probe_tokens = kProbeTokens;
  std::size_t context = 512;
  std::size_t held_out = 0;  // windows of written text that are kept for measuring, beside `tokens`
  std::uint64_t seed = 0;
  std::optional<std::uint64_t> memory_bytes;  // at most, 0: no bound; absent: half of the machine's
  std::string sequential;      // an artifact of this model, whose weights make the inputs
  std::string gradients_from;  // statistics of this model, whose gradients are taken over
  std::string tool;            // recorded
  bool plan_only = false;
  // Statistics that lie at `output` from an earlier run of the same request are taken up: nothing
  // is run.
  bool reuse = false;
  bool replace = true;  // what lies at `output` and is not taken up may go
  std::function<void(const CalibrationPlan&)> plan;  // before work starts; may be empty
};

// What does the passes: LibTorch (calibration::CheckCanCalibrate and Calibrate), or the loader's op
// set.
struct Calibrator {
  bool gradients = true;  // it can run backward
  std::function<Status(const model::Architecture&)> check;
  std::function<Status(const model::Checkpoint&, const model::Architecture&,
                       const calibration::TokenWindows&, const calibration::CalibrateOptions&)>
      run;
};

// That without LibTorch.
Calibrator ForwardCalibrator();

// Cancelled or killed, it goes on with the next run of the same options. InvalidArgument for
// options that exclude each other; those of the text, the model and the calibrator as they are.
// Warns of matrices whose statistics had to be mended.
Status RunCalibrateJob(const CalibrateJobOptions& options, const Calibrator& calibrator,
                       const Monitor& monitor);

}  // namespace ingot::jobs
