// `ingot inspect`, of artifacts and of source checkpoints, and `ingot verify`.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "artifact/reader.h"
#include "inspect/comparison.h"
#include "inspect/summary.h"
#include "inspect/text_format.h"
#include "inspect/verification.h"
#include "jobs/inspect_job.h"
#include "jobs/run_memory.h"
#include "jobs/verify_job.h"
#include "model/source/checkpoint.h"
#include "pack/source_summary.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "tools/cli/source_text.h"
#include "untrusted/printable.h"
#include "untrusted/text_input.h"

namespace ingot::cli {
namespace {

struct InspectOptions {
  std::string file, other, sort;
  KeyOption key;
  bool json = false, tensors = false, verify = false;
};

// The first damage is the error's line; all of them are listed.
Status DamageStatus(const std::string& file,
                    const std::vector<artifact::ArtifactReader::Damage>& damage) {
  if (damage.empty()) return OkStatus();
  for (const auto& item : damage)
    PrintError("ingot: {}\n",
               untrusted::Printable(fmt::format("{}: {}: {}", file, item.where, item.what)));
  return Corruption(fmt::format("{}: {} damaged part{}, first {}", file, damage.size(),
                                damage.size() == 1 ? "" : "s", damage[0].where));
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
                                : SourceText(summary, options.tensors, OutputColumns()));
  if (summary.understood()) return OkStatus();
  return Unsupported(fmt::format("{}: {}", options.file, summary.problems.front()));
}

inspect::PairOrder OrderOf(const std::string& sort) {
  return sort == "error"  ? inspect::PairOrder::kError
         : sort == "bits" ? inspect::PairOrder::kBits
         : sort == "size" ? inspect::PairOrder::kSize
                          : inspect::PairOrder::kStream;
}

Status CompareTwo(const InspectOptions& options) {
  if (options.verify) return InvalidArgument("--verify is for one artifact, not for two");
  if (options.file == "-" && options.other == "-")
    return InvalidArgument("one of two files can come from standard input, not both");
  INGOT_ASSIGN(const auto key, LoadVerifyingKey(options.key));
  INGOT_ASSIGN(const inspect::Summary a, jobs::SummaryOf(options.file, PointerTo(key)));
  INGOT_ASSIGN(const inspect::Summary b, jobs::SummaryOf(options.other, PointerTo(key)));
  const inspect::Comparison comparison = inspect::Compare(a, b);
  const std::string name_a = untrusted::TextName(options.file);
  const std::string name_b = untrusted::TextName(options.other);
  const inspect::PairOrder order = OrderOf(options.sort);
  if (options.json)
    fmt::print("{}\n", untrusted::PrintableJson(
                           inspect::ComparisonJson(comparison, name_a, name_b, order)));
  else
    fmt::print("{}", inspect::ComparisonText(comparison, name_a, name_b, options.tensors, order,
                                             OutputColumns()));
  return OkStatus();
}

// What `run` takes, or empty where the file is not all of a model.
std::string RunText(const inspect::Summary& summary) {
  constexpr std::uint64_t kTokens = 2048;
  if (!summary.base_root.empty()) return {};
  return fmt::format("run takes about {} at {} tokens",
                     inspect::HumanBytes(jobs::RunMemoryOf(summary, kTokens).total()), kTokens);
}

Status RunInspect(const InspectOptions& options) {
  if (!options.other.empty()) return CompareTwo(options);
  if (jobs::IsSource(options.file)) return InspectSource(options);
  const bool piped = options.file == "-";
  INGOT_ASSIGN(const auto key, LoadVerifyingKey(options.key));
  INGOT_ASSIGN(const auto reader, jobs::OpenToInspect(options.file, PointerTo(key)));
  inspect::Summary summary = inspect::Summarize(*reader, PointerTo(key));
  if (!options.sort.empty()) SortTensors(options.sort, summary.tensors);
  inspect::Json json;
  if (options.json) json = inspect::SummaryJson(summary);
  std::vector<artifact::ArtifactReader::Damage> damage;
  // What comes from a pipe is checked on its way.
  if (options.verify && !piped) {
    JobLine line({.progress = options.json});
    INGOT_ASSIGN(damage, jobs::RunVerifyJob(*reader, summary.file_bytes, line.monitor()));
  }
  if (options.json) {
    if (options.verify || piped) json["verified"] = damage.empty();
    fmt::print("{}\n", untrusted::PrintableJson(json));
  } else {
    fmt::print("{}", inspect::SummaryText(summary, untrusted::TextName(options.file),
                                          options.tensors || !options.sort.empty(), OutputColumns(),
                                          RunText(summary)));
    if ((options.verify || piped) && damage.empty()) fmt::print("\n  every byte verifies\n");
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
    PrintPage("{}: ok, every byte verifies{}{}\n", untrusted::Printable(name),
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
      "what an artifact is (model, origin, sizes, planes, signatures), what packing a source model "
      "would make of it, or how two differ");
  command
      ->add_option("FILE", options->file,
                   "artifact (- for stdin), Hugging Face directory, .gguf or .pth file")
      ->required();
  command->add_option("OTHER", options->other, "another: what differs between the two");
  command->add_flag("--json", options->json, "one JSON object");
  command->add_flag("--tensors", options->tensors, "a line a tensor");
  command
      ->add_option("--sort", options->sort,
                   "a line a tensor, the largest error, bits a weight or size first; of two files, "
                   "the largest difference")
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
