#include "inspect/verification.h"

#include <unistd.h>

namespace ingot::inspect {

Result<Verification> VerifyArtifact(const std::string& path, const artifact::VerifyingKey* key,
                                    const std::function<Status(std::uint64_t)>& progress) {
  artifact::OpenOptions options;
  options.key = key;
  options.allow_delta = true;
  Verification verification;
  if (path == "-") {
    INGOT_ASSIGN(verification.damage,
                 artifact::VerifyPipe(STDIN_FILENO, options).At("standard input"));
    return verification;
  }
  INGOT_TRY(CheckNotAModel(path));
  INGOT_ASSIGN(const std::unique_ptr<artifact::ArtifactReader> reader,
               artifact::ArtifactReader::Open(path, options));
  INGOT_ASSIGN(verification.damage, reader->VerifyAll(progress));
  Summary summary = Summarize(*reader, key);
  verification.root_digest = std::move(summary.root_digest);
  verification.file_bytes = summary.file_bytes;
  verification.signatures = std::move(summary.signatures);
  return verification;
}

Json VerificationJson(const Verification& verification) {
  Json damage = Json::array();
  for (const auto& item : verification.damage)
    damage.push_back({{"where", item.where}, {"what", item.what}});
  Json signatures = Json::array();
  for (const SignatureSummary& signature : verification.signatures)
    signatures.push_back({{"kind", signature.kind},
                          {"key_id", signature.key_id},
                          {"verifies", signature.verifies},
                          {"trusted", signature.trusted}});
  Json json = {{"ok", verification.damage.empty()}, {"damage", damage}};
  if (!verification.root_digest.empty()) {
    json["bytes"] = verification.file_bytes;
    json["root_digest"] = verification.root_digest;
    json["signatures"] = signatures;
  }
  return json;
}

}  // namespace ingot::inspect
