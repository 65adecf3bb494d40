// The page that `ingot inspect` prints.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "inspect/layer_lines.h"
#include "inspect/source_size.h"
#include "inspect/summary.h"
#include "inspect/text_format.h"
#include "untrusted/printable.h"

namespace ingot::inspect {
namespace {

constexpr std::size_t kShownBytes = 256;  // of a free-form field

using Rows = std::vector<std::vector<std::string>>;

// A value of free-form JSON as text; empty where it is absent or of another type.
std::string TextAt(const Json& json, std::initializer_list<const char*> path) {
  const Json* at = &json;
  for (const char* key : path) {
    if (!at->is_object() || !at->contains(key)) return {};
    at = &(*at)[key];
  }
  if (at->is_string()) return at->get_ref<const std::string&>().substr(0, kShownBytes);
  return at->is_number() ? at->dump() : std::string();
}

std::string Shape(const std::vector<std::uint64_t>& shape) {
  return fmt::format("{}", fmt::join(shape, "x"));
}

// "1/2/3/3": planes that tokens of class 0 ... 3 read.
std::string ByClass(const TensorSummary& tensor) {
  return fmt::format("{}", fmt::join(tensor.planes_by_class, "/"));
}

// Takes a column away that has no entry.
void DropEmptyColumn(Rows& rows, std::size_t column) {
  for (std::size_t r = 1; r < rows.size(); ++r)
    if (!rows[r][column].empty()) return;
  for (auto& row : rows) row.erase(row.begin() + static_cast<std::ptrdiff_t>(column));
}

// Predicted, nats a token.
std::string Loss(double predicted_loss) {
  return predicted_loss < 0 ? "" : fmt::format("{:.2e}", predicted_loss);
}

// "BF16", or "mixed" where the matrices came in several formats.
std::string SourceFormat(const Summary& summary) {
  std::set<std::string> names;
  for (const TensorSummary& tensor : summary.tensors)
    if (tensor.role != "vector") names.insert(tensor.dtype);
  if (names.size() != 1) return "mixed";
  std::string name = *names.begin();
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

std::string ModelLine(const Summary& summary) {
  std::string line;
  const auto add = [&](const std::string& text) { line += (line.empty() ? "" : ", ") + text; };
  if (const auto type = TextAt(summary.config, {"model_type"}); !type.empty()) add(type);
  for (const auto& [key, label] : {std::pair{"num_hidden_layers", "layers"},
                                   {"hidden_size", "hidden"},
                                   {"vocab_size", "vocabulary"}})
    if (const auto value = TextAt(summary.config, {key}); !value.empty())
      add(std::string_view(label) == "layers" ? value + " layers"
                                              : fmt::format("{} {}", label, value));
  add(HumanCount(summary.total.weights) + " weights");
  return line;
}

std::string SourceLine(const Json& provenance) {
  std::string line = TextAt(provenance, {"source", "format"});
  if (!provenance.is_object() || !provenance.contains("source")) return line;
  const Json& source = provenance["source"];
  if (!source.is_object() || !source.contains("files") || !source["files"].is_array()) return line;
  std::uint64_t bytes = 0;
  std::string first;
  for (const Json& file : source["files"]) {
    if (!file.is_object()) continue;
    if (first.empty()) first = TextAt(file, {"name"});
    if (file.contains("bytes") && file["bytes"].is_number_unsigned())
      bytes += file["bytes"].get<std::uint64_t>();
  }
  const std::size_t more = source["files"].size() > 1 ? source["files"].size() - 1 : 0;
  return fmt::format("{}, {}{} ({})", line, first,
                     more > 0 ? fmt::format(" and {} more", more) : "", HumanBytes(bytes));
}

std::string Number(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? fmt::format("{:.4g}", it->get<double>()) : "?";
}

// What the bits were spent by.
void AddAllocation(const Json& provenance, Rows& rows) {
  if (!provenance.is_object()) return;
  if (const auto it = provenance.find("calibration"); it != provenance.end() && it->is_object())
    rows.push_back(
        {"calibrated",
         fmt::format("{} tokens, {} with gradients", TextAt(provenance, {"calibration", "tokens"}),
                     TextAt(provenance, {"calibration", "backward_tokens"}))});
  const auto it = provenance.find("allocation");
  if (it == provenance.end() || !it->is_object()) return;
  rows.push_back({"allocated", fmt::format("{} over {}; predicted KL {} nats a token",
                                           TextAt(provenance, {"allocation", "budget"}),
                                           TextAt(provenance, {"allocation", "codec"}),
                                           Number(*it, "predicted_loss"))});
}

// What pack measured, where it did.
void AddMeasured(const Json& provenance, Rows& rows) {
  if (!provenance.is_object()) return;
  const auto it = provenance.find("measured");
  if (it == provenance.end() || !it->is_object()) return;
  rows.push_back({"measured", fmt::format("KL {} +- {} nats a token, perplexity {} +- {} %",
                                          Number(*it, "kl_mean"), Number(*it, "kl_mean_stderr"),
                                          Number(*it, "delta_perplexity_percent"),
                                          Number(*it, "delta_perplexity_percent_stderr"))});
  rows.push_back({"", fmt::format("over {} positions of {}", TextAt(*it, {"positions"}),
                                  TextAt(*it, {"text"}))});
}

void AddOrigin(const Summary& summary, Rows& rows) {
  rows.push_back({"model", ModelLine(summary)});
  const Json& provenance = summary.provenance;
  rows.push_back({"source", SourceLine(provenance)});
  if (const auto digest = TextAt(provenance, {"source", "digest"}); !digest.empty())
    rows.push_back({"", digest});
  rows.push_back({"made by", TextAt(provenance, {"tool"})});
  const char* beside = provenance.is_object() && provenance.contains("allocation")
                           ? ", where allocation did not choose"
                           : "";
  for (const char* role : {"linear", "embedding", "head"})
    if (summary.by_role.contains(role))
      rows.push_back(
          {"", fmt::format("{} {}{}", role, TextAt(provenance, {"recipe", role}), beside)});
  if (provenance.is_object() && provenance.contains("recipe") && provenance["recipe"].is_object() &&
      provenance["recipe"].contains("rules"))
    for (const Json& rule : provenance["recipe"]["rules"])
      if (rule.is_string())
        rows.push_back({"", "rule " + rule.get_ref<const std::string&>().substr(0, kShownBytes)});
  AddAllocation(provenance, rows);
  AddMeasured(provenance, rows);
  rows.push_back({"root", "blake3:" + summary.root_digest});
  if (!summary.base_root.empty()) rows.push_back({"delta over", "blake3:" + summary.base_root});
  if (!summary.exit_layers.empty())
    rows.push_back({"exits", fmt::format("after layers {}", fmt::join(summary.exit_layers, ", "))});
  if (!summary.draft_layers.empty())
    rows.push_back(
        {"drafts", fmt::format("without layers {}", fmt::join(summary.draft_layers, ", "))});
  if (summary.signatures.empty()) rows.push_back({"signed", "no"});
  for (const SignatureSummary& s : summary.signatures)
    rows.push_back({"signed", fmt::format("{} key {}: {}", s.kind, s.key_id,
                                          s.trusted    ? "verifies, by the given key"
                                          : s.verifies ? "verifies under the key it carries"
                                                       : "a shared secret, needs --hmac-key")});
}

void AddSizes(const Summary& summary, Rows& rows) {
  const SizeSum linear = summary.role("linear");
  std::string ratio = AgainstSource(summary.file_bytes, SourceFilesOf(summary.provenance));
  // Of what does not say what it was made of, by its weights in the source's format.
  if (ratio.empty())
    ratio = AgainstSource(summary.file_bytes,
                          {summary.total.source_bytes, "its weights in " + SourceFormat(summary)});
  rows.push_back({"file", HumanBytes(summary.file_bytes) + ratio});
  rows.push_back(
      {"stored",
       fmt::format("{:.3f} bpw over linear weights, {:.3f} bpw over all weights",
                   linear.stored_bits_per_weight(), summary.total.stored_bits_per_weight())});
  rows.push_back(
      {"memory",
       fmt::format("{:.3f} bpw over linear weights, {:.3f} bpw over all weights "
                   "({})",
                   linear.resident_bits_per_weight(), summary.total.resident_bits_per_weight(),
                   HumanBytes(summary.total.resident_bytes))});
}

std::string RoleTable(const Summary& summary) {
  Rows rows = {{"kind", "tensors", "weights", "stored", "bpw", "in memory", "source"}};
  for (const auto& [role, size] : summary.by_role)
    rows.push_back({role, std::to_string(size.tensors), HumanCount(size.weights),
                    HumanBytes(size.stored_bytes),
                    fmt::format("{:.3f}", size.stored_bits_per_weight()),
                    HumanBytes(size.resident_bytes), HumanBytes(size.source_bytes)});
  rows.push_back({"tokenizer", "", "", HumanBytes(summary.asset_bytes)});
  rows.push_back({"index", "", "", HumanBytes(summary.prefix_bytes)});
  return AlignTable(rows, "  ");
}

std::string LevelTable(const Summary& summary) {
  if (summary.level_bytes.size() < 2) return {};
  Rows rows = {{"level", "stored", "file to here"}};
  for (std::size_t level = 0; level < summary.level_bytes.size(); ++level) {
    rows.push_back(
        {std::to_string(level), HumanBytes(summary.level_bytes[level]),
         level < summary.level_ends.size() ? HumanBytes(summary.level_ends[level]) : ""});
  }
  return "\n" + AlignTable(rows, "  ");
}

// A line a codec of layers that are made alike; what is outside the layers by name.
std::string LayerTable(const Summary& summary, std::size_t columns) {
  LayerLines lines;
  for (const TensorSummary& tensor : summary.tensors)
    if (tensor.role != "vector")
      lines.Add(tensor.name, tensor.layer, {tensor.codec, PlanesText(tensor), ByClass(tensor)},
                tensor.size, {}, tensor.relative_error);
  Rows rows = {{"where", "codec: planes", "by class", "count", "stored", "bpw", "worst error"}};
  for (const LayerLine& line : lines.Joined())
    rows.push_back({line.place, fmt::format("{}: {}", line.making[0], line.making[1]),
                    line.making[2], std::to_string(line.size.tensors),
                    HumanBytes(line.size.stored_bytes),
                    fmt::format("{:.3f}", line.size.stored_bits_per_weight()),
                    ErrorText(line.worst_error)});
  DropEmptyColumn(rows, 2);
  return "\n" + AlignTable(rows, "  ", columns);
}

std::string TensorTable(const Summary& summary) {
  Rows rows = {
      {"tensor", "shape", "from", "codec", "planes", "by class", "stored", "bpw", "error", "loss"}};
  for (const TensorSummary& tensor : summary.tensors)
    rows.push_back({tensor.name, Shape(tensor.shape), tensor.dtype, tensor.codec,
                    PlanesText(tensor), ByClass(tensor), HumanBytes(tensor.size.stored_bytes),
                    fmt::format("{:.3f}", tensor.size.stored_bits_per_weight()),
                    ErrorText(tensor.relative_error), Loss(tensor.predicted_loss)});
  DropEmptyColumn(rows, 9);
  DropEmptyColumn(rows, 5);
  return "\n" + AlignTable(rows, "  ");
}

}  // namespace

std::string PlanesText(const TensorSummary& tensor) {
  std::vector<std::string> planes;
  for (const PlaneSummary& plane : tensor.planes)
    planes.push_back(plane.level > 0 ? fmt::format("{} (level {})", plane.description, plane.level)
                                     : plane.description);
  return fmt::format("{}", fmt::join(planes, " + "));
}

std::string SummaryText(const Summary& summary, const std::string& title, bool with_tensors,
                        std::size_t columns, const std::string& run) {
  Rows rows;
  AddOrigin(summary, rows);
  AddSizes(summary, rows);
  rows.push_back({"", run});
  if (summary.complete_level + 1 < static_cast<int>(summary.level_bytes.size()))
    rows.push_back(
        {"cut short", summary.complete_level < 0
                          ? "not even the base level is complete"
                          : fmt::format("levels 0 to {} are complete", summary.complete_level)});
  std::string text = untrusted::Printable(title) + "\n";
  for (const auto& row : rows)
    if (!row[1].empty()) text += FactLine(row[0], row[1], columns);
  text += "\n" + RoleTable(summary) + LevelTable(summary);
  text += with_tensors ? TensorTable(summary) : LayerTable(summary, columns);
  return text;
}

}  // namespace ingot::inspect
