#include "tools/cli/pack_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

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

constexpr const char* kHow = "`ingot eval FILE --reference MODEL` measures";

// Measured first; a prediction in nats only where divergence was measured for it: by gradients, or
// by disturbing the matrices. A line each.
std::vector<std::string> QualityTexts(const inspect::Json& provenance) {
  if (const inspect::Json* measured = Find(provenance, "measured"); measured != nullptr)
    return {fmt::format("KL {:.4f} ± {:.4f} nats a token, perplexity {:+.1f} ± {:.1f} %, top-1 "
                        "{:.1f} %",
                        Number(*measured, "kl_mean"), Number(*measured, "kl_mean_stderr"),
                        Number(*measured, "delta_perplexity_percent"),
                        Number(*measured, "delta_perplexity_percent_stderr"),
                        100 * Number(*measured, "top1_agreement")),
            fmt::format("measured over {} tokens of {}", Number(*measured, "positions"),
                        Text(*measured, "text"))};
  const inspect::Json* calibration = Find(provenance, "calibration");
  const inspect::Json* allocation = Find(provenance, "allocation");
  if (calibration == nullptr || allocation == nullptr)
    return {fmt::format("not measured: {}", kHow)};
  const std::string backward = Text(*calibration, "backward_tokens");
  const std::string probes = Text(*calibration, "probe_tokens");
  if (Text(*calibration, "tool").find("imatrix") != std::string::npos ||
      ((backward.empty() || backward == "0") && probes.empty()))
    return {
        "bits were spent by error-weighted loss alone: statistics without gradients say nothing "
        "in nats",
        kHow};
  return {fmt::format(
      "KL about {:.4f} nats a token, predicted by {}; {}", Number(*allocation, "predicted_loss"),
      backward.empty() || backward == "0" ? "disturbing each matrix" : "gradients", kHow)};
}

}  // namespace

std::string PackReportText(const std::string& output, const inspect::Summary& summary,
                           const pack::PackReport& report, double seconds, std::size_t columns) {
  std::string title = fmt::format("{}: {}", output, inspect::HumanBytes(summary.file_bytes));
  title += inspect::AgainstSource(summary.file_bytes, inspect::SourceFilesOf(summary.provenance));
  std::string text = untrusted::Printable(title) + "\n";
  const auto add = [&](std::string_view label, const std::string& fact) {
    text += inspect::FactLine(label, fact, columns);
  };
  const inspect::SizeSum linear = summary.role("linear");
  const jobs::RunMemory memory = jobs::RunMemoryOf(summary, kRunTokens);
  add("stored",
      fmt::format("{:.3f} bpw over linear weights, {:.3f} over all",
                  linear.stored_bits_per_weight(), summary.total.stored_bits_per_weight()));
  add("memory",
      fmt::format("{:.3f} bpw over linear weights, {:.3f} over all ({})",
                  linear.resident_bits_per_weight(), summary.total.resident_bits_per_weight(),
                  inspect::HumanBytes(memory.weight_bytes)));
  add("", fmt::format("run takes about {} at {} tokens", inspect::HumanBytes(memory.total()),
                      kRunTokens));
  std::string_view label = "quality";
  for (const std::string& quality : QualityTexts(summary.provenance))
    add(std::exchange(label, ""), quality);
  add("root", "blake3:" + summary.root_digest);
  add("signed", summary.signatures.empty() ? "no"
                                           : fmt::format("{} key {}", summary.signatures[0].kind,
                                                         summary.signatures[0].key_id));
  add("took",
      fmt::format("{:.1f} s{}", seconds,
                  report.resumed_bytes > 0 ? fmt::format("; {} were there from an earlier run",
                                                         inspect::HumanBytes(report.resumed_bytes))
                                           : ""));
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
