#include "jobs/export_job.h"

#include "artifact/reader.h"
#include "inspect/summary.h"

namespace ingot::jobs {

Result<pack::ExportReport> RunExportJob(const ExportJobOptions& job, const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  INGOT_TRY(inspect::CheckNotAModel(job.artifact));
  artifact::OpenOptions open;
  open.key = job.key;
  INGOT_ASSIGN(const auto reader, artifact::ArtifactReader::Open(job.artifact, open));
  pack::ExportOptions options;
  options.target = job.directory;
  options.dtype = job.dtype;
  options.shard_bytes = job.shard_bytes;
  options.max_decoded_bytes = job.max_decoded_bytes;
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    return monitor.Tell({"exporting", done, total});
  };
  auto report = pack::ExportModel(*reader, options);
  if (report.status().code() != StatusCode::kCorruption) return report;
  return std::move(report).At(job.artifact);
}

}  // namespace ingot::jobs
