// Every byte of an artifact checked.
//
// Thread rule: a function without state.
#pragma once

#include <string>

#include "artifact/signature.h"
#include "base/status.h"
#include "inspect/verification.h"
#include "jobs/job.h"

namespace ingot::jobs {

struct VerifyJobOptions {
  std::string artifact;  // "-": file descriptor 0, read once and not kept
  const artifact::VerifyingKey* key = nullptr;
};

// Damage is in the result, not an error, unless nothing after it could be read.
Result<inspect::Verification> RunVerifyJob(const VerifyJobOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
