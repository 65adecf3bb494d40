// `ingot verify`: every byte of an artifact against its digests. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "artifact/reader.h"
#include "base/status.h"
#include "inspect/summary.h"

namespace ingot::inspect {

struct Verification {
  std::string root_digest;  // empty where it came from a pipe
  std::uint64_t file_bytes = 0;
  std::vector<SignatureSummary> signatures;
  std::vector<artifact::ArtifactReader::Damage>
      damage;  // in file order, empty: every byte is right
};

// "-" reads the artifact from file descriptor 0, keeping nothing. Errors of the prefix (header,
// signatures, manifest, table) end it as a Status, as does one that `progress` (bytes checked so far;
// may be empty) returns; damaged payload is listed.
Result<Verification> VerifyArtifact(const std::string& path, const artifact::VerifyingKey* key,
                                    const std::function<Status(std::uint64_t)>& progress);

Json VerificationJson(const Verification& verification);

}  // namespace ingot::inspect
