// Every byte of an artifact checked.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "artifact/reader.h"
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

// Of an artifact that is open already, so of one cut short what is there. `file_bytes`: its total.
Result<std::vector<artifact::ArtifactReader::Damage>> RunVerifyJob(
    const artifact::ArtifactReader& reader, std::uint64_t file_bytes, const Monitor& monitor);

}  // namespace ingot::jobs
