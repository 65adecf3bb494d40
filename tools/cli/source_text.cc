#include "tools/cli/source_text.h"

#include <fmt/format.h>

#include <vector>

#include "inspect/text_format.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

using Rows = std::vector<std::vector<std::string>>;
using inspect::HumanBytes;
using inspect::HumanCount;

void AddModel(const pack::SourceSummary& s, Rows& rows) {
  const model::Architecture& a = s.architecture;
  if (a.layers.empty()) {
    rows.push_back(
        {"model", (s.model_type.empty() ? "unknown" : s.model_type) + ", not understood"});
  } else {
    rows.push_back(
        {"model",
         fmt::format("{}, {} layers, hidden {}, vocabulary {}, context {}{}", a.family,
                     a.layers.size(), a.hidden_size, a.vocab_size,
                     // A state has no longest sequence.
                     a.max_positions >> 32 != 0 ? "of any length" : std::to_string(a.max_positions),
                     a.masked ? ", masked (an encoder)" : "")});
    rows.push_back({"mixer", pack::LayersText(a)});
    rows.push_back({"MLP", pack::MlpText(a)});
    rows.push_back({"head", a.head.weight == a.embedding ? "the embedding (tied)" : a.head.weight});
  }
  std::string types;
  for (const auto& [type, bytes] : s.bytes_by_type)
    types += fmt::format("{}{} {}", types.empty() ? "" : ", ", type, HumanBytes(bytes));
  std::string parameters = HumanCount(s.total.weights) + " parameters";
  if (s.active_weights != s.total.weights)
    parameters += fmt::format(" ({} for a token)", HumanCount(s.active_weights));
  rows.push_back({"source", fmt::format("{}, {}: {}", s.format, parameters, types)});
  rows.push_back({"tokenizer", s.tokenizer});
}

std::string RoleTable(const pack::SourceSummary& s) {
  Rows rows = {{"kind", "tensors", "parameters", "source"}};
  for (const auto& [role, sum] : s.by_role)
    rows.push_back(
        {role, std::to_string(sum.tensors), HumanCount(sum.weights), HumanBytes(sum.source_bytes)});
  return "\n" + inspect::AlignTable(rows, "  ");
}

std::string GroupTable(const pack::SourceSummary& s, bool with_tensors) {
  Rows rows = {{fmt::format("tensors under --target {}", pack::kDefaultTarget), "count", "shape",
                "from", "codec"}};
  pack::ParameterSum vectors;
  for (const pack::TensorGroup& group : s.groups) {
    if (group.role == "vector" && !with_tensors) {
      vectors.tensors += group.sum.tensors;
      continue;
    }
    const bool kept = group.codec == pack::kRawCodec;
    rows.push_back({group.pattern, std::to_string(group.sum.tensors),
                    fmt::format("{}", fmt::join(group.shape, "x")), group.stored_type,
                    kept                  ? "kept as it is"
                    : group.codec.empty() ? group.role
                                          : group.codec});
  }
  if (vectors.tensors > 0)
    rows.push_back({"norms, biases and other vectors", std::to_string(vectors.tensors), "", "",
                    "kept as they are; --tensors names them"});
  return "\n" + inspect::AlignTable(rows, "  ");
}

std::string PresetTable(const pack::SourceSummary& s) {
  if (s.presets.empty()) return {};
  Rows rows = {{"pack with", "linear weights", "embedding, head", "bpw linear", "weights"}};
  for (const pack::PresetSummary& preset : s.presets) {
    const std::string option =
        fmt::format("--{} {}", preset.is_target ? "target" : "codec", preset.name);
    if (!preset.problem.empty()) {
      rows.push_back({option, preset.linear, "", "", "cannot: " + preset.problem});
      continue;
    }
    // "+": outliers and the like come on top; "at most": the rest is compressed where it pays.
    rows.push_back(
        {option, preset.linear,
         preset.embedding == preset.head ? preset.embedding : preset.embedding + ", " + preset.head,
         fmt::format("{:.3f}", preset.bits_per_linear_weight),
         fmt::format("{}{}{}", HumanBytes(preset.bytes.exact + preset.bytes.at_most),
                     preset.bytes.data_dependent ? "+" : "",
                     preset.bytes.at_most > 0 ? " at most" : "")});
  }
  return "\n" + inspect::AlignTable(rows, "  ");
}

}  // namespace

std::string SourceText(const pack::SourceSummary& summary, bool with_tensors) {
  Rows rows;
  AddModel(summary, rows);
  std::string text = untrusted::Printable(summary.path) + "\n" + inspect::AlignTable(rows, "  ");
  text += RoleTable(summary) + GroupTable(summary, with_tensors) + PresetTable(summary);
  if (!summary.problems.empty() || !summary.notes.empty()) text += "\n";
  for (const std::string& note : summary.notes)
    text += fmt::format("  ignored: {}\n", untrusted::Printable(note));
  for (const std::string& problem : summary.problems)
    text += fmt::format("  not understood: {}\n", untrusted::Printable(problem));
  return text;
}

}  // namespace ingot::cli
