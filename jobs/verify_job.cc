#include "jobs/verify_job.h"

#include "base/file.h"

namespace ingot::jobs {

Result<inspect::Verification> RunVerifyJob(const VerifyJobOptions& options,
                                           const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  std::uint64_t size = 0;  // of a pipe it is not known
  if (const auto file = File::OpenRead(options.artifact); file.ok())
    if (const auto bytes = file->Size(); bytes.ok()) size = *bytes;
  return inspect::VerifyArtifact(options.artifact, options.key, [&](std::uint64_t done) {
    return monitor.Tell({"verifying", done, size});
  });
}

Result<std::vector<artifact::ArtifactReader::Damage>> RunVerifyJob(
    const artifact::ArtifactReader& reader, std::uint64_t file_bytes, const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  return reader.VerifyAll([&](std::uint64_t done) {
    return monitor.Tell({"verifying", done, file_bytes});
  });
}

}  // namespace ingot::jobs
