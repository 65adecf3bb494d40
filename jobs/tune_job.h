// An artifact tuned towards the model it was made from: everything but the steps, which need
// LibTorch.
//
// Thread rule: one at a time a process, as calibration itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"
#include "calibration/packed_model.h"
#include "calibration/text_source.h"
#include "calibration/tune_options.h"
#include "jobs/job.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"
#include "pack/rewrite.h"

namespace ingot::jobs {

struct TuneJobOptions {
  std::string artifact, reference, output;
  std::vector<std::string> texts;  // FILE[:WEIGHT]
  std::uint64_t tokens = 16384;    // one window in four is held out
  std::size_t context = 256;
  std::size_t epochs = 4;
  double rate = 2e-3;  // of the first step, relative to a value
  std::uint64_t seed = 0;
  std::optional<std::uint64_t> memory_bytes;  // at most, 0: no bound; absent: half of the machine's
  bool force = false;                         // replace an existing output
  const artifact::SigningKey* sign = nullptr;  // signatures are not carried over
  std::string tool;                            // recorded
};

struct TuneJobResult {
  calibration::TuneResult tuned;
  pack::RewriteReport report;
};

// What LibTorch does: calibration::Tune.
using Tuner = std::function<Result<calibration::TuneResult>(
    const model::Checkpoint&, const model::Architecture&, const calibration::PackedModel&,
    const calibration::TokenWindows&, const calibration::TuneOptions&)>;

// Cancelled, between layers, it leaves nothing. InvalidArgument for an output that exists and for a
// reference that the artifact was not made from; those of the text, the tuner and the rewrite as
// they are.
Result<TuneJobResult> RunTuneJob(const TuneJobOptions& options, const Tuner& tuner,
                                 const Monitor& monitor);

}  // namespace ingot::jobs
