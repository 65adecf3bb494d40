#include "tools/cli/source_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
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

std::string GroupTable(const pack::SourceSummary& s, bool with_tensors, std::size_t columns) {
  Rows rows = {{"tensors", "count", "shape", "from", "codec"}};
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
    rows.push_back(
        {"norms, biases and other vectors", std::to_string(vectors.tensors), "", "", "kept"});
  return "\n" + inspect::AlignTable(rows, "  ", with_tensors ? 0 : columns);
}

std::string OptionText(const pack::SourceSummary& s, const pack::PresetSummary& preset) {
  using Option = pack::PresetSummary::Option;
  if (preset.option == Option::kSmallest) return "--smallest";
  if (preset.option == Option::kCodec) return "--codec " + preset.name;
  const bool fast = !preset.learned && s.cannot_learn.empty();
  return fmt::format("{}--target {}", fast ? "--fast " : "", preset.name);
}

// What the options give; `*`: the default.
std::string PresetTable(const pack::SourceSummary& s, std::size_t columns) {
  if (s.presets.empty()) return {};
  Rows rows = {{"pack with", "made of", "bpw linear", "file about", "in memory"}};
  bool first = true;
  for (const pack::PresetSummary& preset : s.presets) {
    const bool by_default = preset.option == pack::PresetSummary::Option::kTarget &&
                            preset.name == pack::kDefaultTarget && std::exchange(first, false);
    // A codec's own name stands in the option.
    const bool named = preset.option == pack::PresetSummary::Option::kCodec;
    std::string makes = named && preset.linear == preset.name ? "" : preset.linear,
                last = preset.linear;
    for (const std::string& other : {preset.embedding, preset.head})
      if (std::exchange(last, other) != other)
        makes += fmt::format("{}+ {}", makes.empty() ? "" : " ", other);
    const std::string option = OptionText(s, preset) + (by_default ? " *" : "");
    if (!preset.problem.empty()) {
      rows.push_back({option, "cannot: " + preset.problem, "", "", ""});
      continue;
    }
    rows.push_back(
        {option, makes, fmt::format("{:.2f}", preset.bits_per_linear_weight),
         HumanBytes(preset.estimated_bytes + static_cast<std::uint64_t>(s.overhead_bytes)),
         HumanBytes(preset.resident_bytes)});
  }
  std::string text = "\n" + inspect::AlignTable(rows, "  ", columns);
  const std::string note =
      s.cannot_learn.empty()
          ? "* the default. Without --fast, targets read text that the model writes first."
          : fmt::format("* the default: {}. With --calib TEXT, bits are spent by statistics.",
                        s.cannot_learn);
  for (const std::string& line : inspect::BreakText(note, std::max<std::size_t>(columns, 20) - 2))
    text += fmt::format("  {}\n", line);
  return text;
}

}  // namespace

std::string SourceText(const pack::SourceSummary& summary, bool with_tensors, std::size_t columns) {
  Rows rows;
  AddModel(summary, rows);
  std::string text = untrusted::Printable(summary.path) + "\n";
  for (const auto& row : rows) text += inspect::FactLine(row[0], row[1], columns);
  text += RoleTable(summary) + GroupTable(summary, with_tensors, columns) +
          PresetTable(summary, columns);
  if (!summary.problems.empty() || !summary.notes.empty()) text += "\n";
  for (const std::string& note : summary.notes)
    text += fmt::format("  ignored: {}\n", untrusted::Printable(note));
  for (const std::string& problem : summary.problems)
    text += fmt::format("  not understood: {}\n", untrusted::Printable(problem));
  return text;
}

}  // namespace ingot::cli
