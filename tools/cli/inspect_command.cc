// `ingot inspect`, of artifacts and of source checkpoints, and `ingot verify`.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "artifact/format.h"
#include "artifact/reader.h"
#include "base/file.h"
#include "inspect/summary.h"
#include "inspect/text_format.h"
#include "inspect/verification.h"
#include "jobs/verify_job.h"
#include "model/source/checkpoint.h"
#include "model/source/model_location.h"
#include "pack/source_summary.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "tools/cli/source_text.h"
#include "untrusted/printable.h"
#include "untrusted/text_input.h"

namespace ingot::cli {
namespace {

struct InspectOptions {
  std::string file, sort;
  KeyOption key;
  bool json = false, tensors = false, verify = false;
};

// The first damage is the error's line; all of them are listed.
Status DamageStatus(const std::string& file,
                    const std::vector<artifact::ArtifactReader::Damage>& damage) {
  if (damage.empty()) return OkStatus();
  for (const auto& item : damage)
    fmt::print(stderr, "ingot: {}\n",
               untrusted::Printable(fmt::format("{}: {}: {}", file, item.where, item.what)));
  return Corruption(fmt::format("{}: {} damaged part{}, first {}", file, damage.size(),
                                damage.size() == 1 ? "" : "s", damage[0].where));
}

// A directory, or a file of weights that is no artifact.
bool IsSource(const std::string& path) {
  if (const auto located = model::LocateModel(path); located.ok() && *located != path) return true;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return true;
  const std::string extension = std::filesystem::path(path).extension();
  const bool weights = extension == ".gguf" || extension == ".pth" || extension == ".pt" ||
                       extension == ".bin" || extension == ".safetensors";
  std::uint8_t head[4] = {};
  const auto file = File::OpenRead(path);
  if (!file.ok() || !file->ReadAt(0, head).ok()) return false;
  const bool artifact = std::memcmp(head, artifact::kMagic.data(), sizeof head) == 0;
  return AsText(head) == "GGUF" || (weights && !artifact);
}

// The worst first: by error, bits a weight or stored bytes; among equals as they stream.
void SortTensors(const std::string& by, std::vector<inspect::TensorSummary>& tensors) {
  const auto key = [&](const inspect::TensorSummary& tensor) {
    return by == "error"  ? tensor.relative_error
           : by == "bits" ? tensor.size.stored_bits_per_weight()
                          : static_cast<double>(tensor.size.stored_bytes);
  };
  std::ranges::stable_sort(tensors, std::ranges::greater(), key);
}

// What is not understood is on the page; the exit status says that there is some.
Status InspectSource(const InspectOptions& options) {
  if (options.key.given() || options.verify || !options.sort.empty())
    return InvalidArgument(options.file +
                           ": is a source model: --key, --verify and --sort are for artifacts");
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(options.file));
  const pack::SourceSummary summary = pack::SummarizeSource(*checkpoint);
  fmt::print("{}", options.json ? untrusted::PrintableJson(pack::SourceJson(summary)) + "\n"
                                : SourceText(summary, options.tensors));
  if (summary.understood()) return OkStatus();
  return Unsupported(fmt::format("{}: {}", options.file, summary.problems.front()));
}

Status RunInspect(const InspectOptions& options) {
  if (IsSource(options.file)) return InspectSource(options);
  INGOT_ASSIGN(const auto key, LoadVerifyingKey(options.key));
  artifact::OpenOptions open;
  open.key = PointerTo(key);
  open.allow_truncated = true;
  open.allow_delta = true;
  INGOT_ASSIGN(const auto reader, artifact::ArtifactReader::Open(options.file, open));
  inspect::Summary summary = inspect::Summarize(*reader, PointerTo(key));
  if (!options.sort.empty()) SortTensors(options.sort, summary.tensors);
  inspect::Json json;
  if (options.json) json = inspect::SummaryJson(summary);
  std::vector<artifact::ArtifactReader::Damage> damage;
  if (options.verify) {
    JobLine line({.progress = options.json});
    INGOT_ASSIGN(damage, jobs::RunVerifyJob(*reader, summary.file_bytes, line.monitor()));
    if (options.json) json["verified"] = damage.empty();
  }
  if (options.json) {
    fmt::print("{}\n", untrusted::PrintableJson(json));
  } else {
    fmt::print("{}", inspect::SummaryText(summary, options.file,
                                          options.tensors || !options.sort.empty()));
    if (options.verify && damage.empty()) fmt::print("\n  every byte verifies\n");
  }
  return DamageStatus(options.file, damage);
}

struct VerifyOptions {
  std::string file;
  KeyOption key;
  bool json = false, quiet = false;
};

Status RunVerify(const VerifyOptions& options) {
  INGOT_ASSIGN(const auto key, LoadVerifyingKey(options.key));
  const std::string name = untrusted::TextName(options.file);
  JobLine line({.progress = options.quiet || options.json});
  INGOT_ASSIGN(const inspect::Verification verification,
               jobs::RunVerifyJob({options.file, PointerTo(key)}, line.monitor()));
  line.Clear();
  if (options.json) {
    fmt::print("{}\n", untrusted::PrintableJson(inspect::VerificationJson(verification)));
  } else if (!options.quiet && verification.damage.empty()) {
    std::string trust = verification.signatures.empty() ? "; not signed" : "";
    for (const auto& signature : verification.signatures)
      trust += fmt::format("; {} key {} {}", signature.kind, signature.key_id,
                           signature.trusted    ? "is the given one"
                           : signature.verifies ? "verifies under the key it carries"
                                                : "not checked: needs --hmac-key");
    if (options.file == "-") trust = key.has_value() ? "; signed by the given key" : "";
    fmt::print("{}: ok, every byte verifies{}{}\n", untrusted::Printable(name),
               verification.file_bytes > 0
                   ? fmt::format(" ({})", inspect::HumanBytes(verification.file_bytes))
                   : "",
               trust);
  }
  return DamageStatus(name, verification.damage);
}

}  // namespace

void AddInspectCommand(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand(
      "inspect",
      "what an artifact is (model, origin, sizes, planes, signatures), or what packing a source "
      "model would make of it");
  command->add_option("FILE", options->file, "artifact, Hugging Face directory, .gguf or .pth file")
      ->required();
  command->add_flag("--json", options->json, "one JSON object");
  command->add_flag("--tensors", options->tensors, "a line a tensor");
  command
      ->add_option("--sort", options->sort,
                   "a line a tensor, the largest error, bits a weight or size first")
      ->type_name("error|bits|size")
      ->check(CLI::IsMember({"error", "bits", "size"}));
  AddVerifyingKeyOptions(command, options->key);
  command->add_flag("--verify", options->verify, "also check every byte");
  OnRun(command, outcome, [options] { return RunInspect(*options); });
}

void AddVerifyCommand(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command =
      app.add_subcommand("verify", "check every byte of an artifact; names the damaged tensor");
  command->add_option("FILE", options->file, "artifact, or - for stdin")->required();
  AddVerifyingKeyOptions(command, options->key);
  command->add_flag("--json", options->json, "one JSON object");
  command->add_flag("-q,--quiet", options->quiet, "print errors alone");
  AddThreadsOption(command);
  OnRun(command, outcome, [options] { return RunVerify(*options); });
}

}  // namespace ingot::cli
