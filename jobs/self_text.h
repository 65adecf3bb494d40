// Calibration text that the model writes itself.
//
// Thread rule: a function without state; windows are sampled some at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "calibration/text_source.h"
#include "jobs/job.h"

namespace ingot::jobs {

struct SelfTextOptions {
  std::string model;
  std::string scratch;  // beside which an artifact of the model is made and removed
  std::uint64_t tokens = 65536;
  std::size_t context = 512;
  std::uint64_t seed = 0;
};

// `tokens` / `context` windows sampled at temperature 1 among the likeliest nine tenths (top-p
// 0.9), each from its own seed, from the model at 8 bits: the same for a seed, whatever the
// threads. A window starts with BOS, else with the end-of-text token. InvalidArgument for an
// encoder, which does not generate, or a model with neither token.
Result<calibration::TokenWindows> RunSelfTextJob(const SelfTextOptions& options,
                                                 const Monitor& monitor);

}  // namespace ingot::jobs
