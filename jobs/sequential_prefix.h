// The already quantized model that sequential calibration takes its inputs from.
//
// Thread rule: values.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "jobs/job.h"
#include "model/source/checkpoint.h"

namespace ingot::jobs {

struct SequentialPrefix {
  std::string digest;     // of the artifact's root
  std::string directory;  // its weights, decoded; the next run finds them if this one is killed
  std::unique_ptr<model::Checkpoint> weights;

  // REQUIRES: statistics are complete.
  void Remove();
};

// Decodes the artifact into OUTPUT.prefix-DIGEST, or takes what an earlier run left there.
// NotFound, Corruption, Unsupported, Io: as for reading an artifact.
Result<SequentialPrefix> OpenSequentialPrefix(const std::string& artifact,
                                              const std::string& output, const Monitor& monitor);

}  // namespace ingot::jobs
