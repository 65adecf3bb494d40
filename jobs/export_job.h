// An artifact's weights written back as a Hugging Face directory.
//
// Thread rule: a function without state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "artifact/signature.h"
#include "base/dtype.h"
#include "base/status.h"
#include "jobs/job.h"
#include "pack/export_model.h"

namespace ingot::jobs {

struct ExportJobOptions {
  std::string artifact, directory;
  std::optional<DType> dtype;  // as pack::ExportOptions
  std::uint64_t shard_bytes = 5'000'000'000;
  std::uint64_t max_decoded_bytes = 0;  // artifact/decoded_size.h; 0: its rule
  const artifact::VerifyingKey* key = nullptr;
};

// Cancelled, it leaves nothing.
Result<pack::ExportReport> RunExportJob(const ExportJobOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
