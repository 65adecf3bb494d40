#include "tools/cli/pack_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "inspect/source_size.h"
#include "inspect/text_format.h"
#include "jobs/run_memory.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

constexpr std::uint64_t kRunTokens = 2048;

const inspect::Json* Find(const inspect::Json& json, const char* key) {
  if (!json.is_object()) return nullptr;
  const auto it = json.find(key);
  return it == json.end() ? nullptr : &*it;
}

double Number(const inspect::Json& json, const char* key) {
  const inspect::Json* value = Find(json, key);
  return value != nullptr && value->is_number() ? value->get<double>() : 0;
}

std::string Text(const inspect::Json& json, const char* key) {
  const inspect::Json* value = Find(json, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

// Measured first; a prediction in nats only where divergence was measured for it: by gradients, or
// by disturbing the matrices.
std::string QualityText(const inspect::Json& provenance) {
  if (const inspect::Json* measured = Find(provenance, "measured"); measured != nullptr)
    return fmt::format(
        "KL {:.4f} ± {:.4f} nats a token, perplexity {:+.1f} ± {:.1f} %, top-1 {:.1f} %\n"
        "           measured over {} tokens of {}",
        Number(*measured, "kl_mean"), Number(*measured, "kl_mean_stderr"),
        Number(*measured, "delta_perplexity_percent"),
        Number(*measured, "delta_perplexity_percent_stderr"),
        100 * Number(*measured, "top1_agreement"), Number(*measured, "positions"),
        Text(*measured, "text"));
  const inspect::Json* calibration = Find(provenance, "calibration");
  const inspect::Json* allocation = Find(provenance, "allocation");
  constexpr const char* kHow = "`ingot eval FILE --reference MODEL` measures";
  if (calibration == nullptr || allocation == nullptr)
    return fmt::format("not measured: {}", kHow);
  const std::string backward = Text(*calibration, "backward_tokens");
  const std::string probes = Text(*calibration, "probe_tokens");
  if (Text(*calibration, "tool").find("imatrix") != std::string::npos ||
      ((backward.empty() || backward == "0") && probes.empty()))
    return fmt::format(
        "bits were spent by error-weighted loss alone: statistics without gradients say nothing in "
        "nats\n           {}",
        kHow);
  return fmt::format("KL about {:.4f} nats a token, predicted by {}; {}",
                     Number(*allocation, "predicted_loss"),
                     backward.empty() || backward == "0" ? "disturbing each matrix" : "gradients",
                     kHow);
}

}  // namespace

std::string PackReportText(const std::string& output, const inspect::Summary& summary,
                           const pack::PackReport& report, double seconds) {
  std::string text = fmt::format("{}: {}", output, inspect::HumanBytes(summary.file_bytes));
  text += inspect::AgainstSource(summary.file_bytes, inspect::SourceFilesOf(summary.provenance));
  const inspect::SizeSum linear = summary.role("linear");
  const jobs::RunMemory memory = jobs::RunMemoryOf(summary, kRunTokens);
  text = untrusted::Printable(text) + "\n";
  text += fmt::format("  stored   {:.3f} bpw over linear weights, {:.3f} over all\n",
                      linear.stored_bits_per_weight(), summary.total.stored_bits_per_weight());
  text += fmt::format(
      "  memory   {:.3f} bpw over linear weights, {:.3f} over all ({}); run takes about {} at {} "
      "tokens\n",
      linear.resident_bits_per_weight(), summary.total.resident_bits_per_weight(),
      inspect::HumanBytes(memory.weight_bytes), inspect::HumanBytes(memory.total()), kRunTokens);
  text += fmt::format("  quality  {}\n", QualityText(summary.provenance));
  text += fmt::format("  root     blake3:{}{}\n", summary.root_digest,
                      summary.signatures.empty()
                          ? "; not signed"
                          : fmt::format("; signed with {} key {}", summary.signatures[0].kind,
                                        summary.signatures[0].key_id));
  text += fmt::format("  took     {:.1f} s{}\n", seconds,
                      report.resumed_bytes > 0
                          ? fmt::format("; {} were there from an earlier run",
                                        inspect::HumanBytes(report.resumed_bytes))
                          : "");
  return text;
}

inspect::Json PackReportJson(const inspect::Summary& summary, const pack::PackReport& report,
                             double seconds) {
  inspect::Json json = inspect::SummaryJson(summary);
  json.erase("tensors");
  json["seconds"] = seconds;
  json["resumed_bytes"] = report.resumed_bytes;
  json["source_file_bytes"] = inspect::SourceFilesOf(summary.provenance).bytes;
  const jobs::RunMemory memory = jobs::RunMemoryOf(summary, kRunTokens);
  json["run_memory"] = {{"tokens", kRunTokens},
                        {"weight_bytes", memory.weight_bytes},
                        {"file_bytes", memory.file_bytes},
                        {"cache_bytes", memory.cache_bytes},
                        {"other_bytes", memory.other_bytes}};
  return json;
}

}  // namespace ingot::cli
