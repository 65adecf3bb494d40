// What `ingot inspect A B` says: a page, and an object.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>

#include "inspect/comparison.h"
#include "inspect/layer_lines.h"
#include "inspect/text_format.h"
#include "untrusted/printable.h"

namespace ingot::inspect {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr std::size_t kNamed = 5;         // of tensors that one has alone
constexpr std::size_t kShownConfigBytes = 128;  // of a value of a configuration

std::string Bits(const SizeSum& size) {
  return size.weights == 0 ? "" : fmt::format("{:.3f}", size.stored_bits_per_weight());
}

std::string MemoryBits(const SizeSum& size) {
  return size.weights == 0 || size.resident_bytes == 0
             ? ""
             : fmt::format("{:.3f}", size.resident_bits_per_weight());
}

// "0.94x"
std::string Ratio(double a, double b) { return a > 0 ? fmt::format("{:.3f}x", b / a) : ""; }

std::string RatioOf(std::uint64_t a, std::uint64_t b) {
  return Ratio(static_cast<double>(a), static_cast<double>(b));
}

std::string Measured(const Summary& summary) {
  const Json::json_pointer at("/measured/kl_mean");
  if (!summary.provenance.is_object() || !summary.provenance.contains(at)) return {};
  const Json& kl = summary.provenance.at(at);
  return kl.is_number() ? fmt::format("{:.4f}", kl.get<double>()) : "";
}

std::string TextOf(const Summary& summary, const char* pointer) {
  const Json::json_pointer at(pointer);
  if (!summary.provenance.is_object() || !summary.provenance.contains(at)) return {};
  const Json& value = summary.provenance.at(at);
  return value.is_string() ? value.get<std::string>().substr(0, kShownConfigBytes) : std::string();
}

// Both beside each other; rows that neither has anything in are left out.
std::string SideTable(const Comparison& c, std::size_t columns) {
  const Summary &a = *c.a, &b = *c.b;
  Rows rows = {{"", "A", "B", "B / A"}};
  const auto add = [&](const char* name, const std::string& x, const std::string& y,
                       const std::string& ratio) {
    if (!x.empty() || !y.empty()) rows.push_back({name, x, y, ratio});
  };
  add("file", HumanBytes(a.file_bytes), HumanBytes(b.file_bytes),
      RatioOf(a.file_bytes, b.file_bytes));
  const SizeSum linear_a = a.role("linear"), linear_b = b.role("linear");
  add("stored bpw, linear", Bits(linear_a), Bits(linear_b),
      Ratio(linear_a.stored_bits_per_weight(), linear_b.stored_bits_per_weight()));
  add("stored bpw, all", Bits(a.total), Bits(b.total),
      Ratio(a.total.stored_bits_per_weight(), b.total.stored_bits_per_weight()));
  add("memory bpw, linear", MemoryBits(linear_a), MemoryBits(linear_b),
      Ratio(linear_a.resident_bits_per_weight(), linear_b.resident_bits_per_weight()));
  add("memory bpw, all", MemoryBits(a.total), MemoryBits(b.total),
      Ratio(a.total.resident_bits_per_weight(), b.total.resident_bits_per_weight()));
  add("tensors", std::to_string(a.tensors.size()), std::to_string(b.tensors.size()), "");
  add("levels", std::to_string(a.level_bytes.size()), std::to_string(b.level_bytes.size()), "");
  add("measured KL", Measured(a), Measured(b), "");
  add("made by", TextOf(a, "/tool"), TextOf(b, "/tool"), "");
  add("linear weights by", TextOf(a, "/recipe/linear"), TextOf(b, "/recipe/linear"), "");
  return AlignTable(rows, "  ", columns);
}

std::string RoleTable(const Comparison& c) {
  Rows rows = {{"kind", "tensors", "A", "B", "bpw A", "bpw B", "B / A"}};
  std::map<std::string, std::array<SizeSum, 2>> roles;
  for (const auto& [role, size] : c.a->by_role) roles[role][0] = size;
  for (const auto& [role, size] : c.b->by_role) roles[role][1] = size;
  for (const auto& [role, sizes] : roles)
    rows.push_back({role,
                    sizes[0].tensors == sizes[1].tensors
                        ? std::to_string(sizes[0].tensors)
                        : fmt::format("{}, {}", sizes[0].tensors, sizes[1].tensors),
                    HumanBytes(sizes[0].stored_bytes), HumanBytes(sizes[1].stored_bytes),
                    Bits(sizes[0]), Bits(sizes[1]),
                    RatioOf(sizes[0].stored_bytes, sizes[1].stored_bytes)});
  return "\n" + AlignTable(rows, "  ");
}

// What a tensor is made by, where the other is made otherwise: by another codec, or with other
// planes.
std::string MakingOf(const TensorSummary& tensor, const TensorSummary& other) {
  if (tensor.codec != other.codec || tensor.planes.empty()) return tensor.codec;
  return PlanesText(tensor);
}

std::string LayerTable(const Comparison& c, std::size_t columns) {
  LayerLines lines;
  for (const TensorPair& pair : c.pairs) {
    if (pair.same_bytes || (pair.a->role == "vector" && pair.same_making)) continue;
    lines.Add(pair.a->name, pair.a->layer,
              {pair.same_making ? pair.a->codec : MakingOf(*pair.a, *pair.b),
               pair.same_making ? "the same, other bytes" : MakingOf(*pair.b, *pair.a)},
              pair.a->size, pair.b->size, -1);
  }
  const std::vector<LayerLine> joined = lines.Joined();
  if (joined.empty()) return {};
  Rows rows = {{"what differs", "tensors", "A", "B", "bpw A", "bpw B", "B / A"}};
  for (const LayerLine& line : joined)
    rows.push_back({line.place, std::to_string(line.size.tensors), line.making[0], line.making[1],
                    Bits(line.size), Bits(line.other),
                    RatioOf(line.size.stored_bytes, line.other.stored_bytes)});
  return "\n" + AlignTable(rows, "  ", columns);
}

std::string TensorTable(const std::vector<TensorPair>& pairs) {
  Rows rows = {{"tensor", "A", "B", "bpw A", "bpw B", "B / A", "error A", "error B", "bytes"}};
  for (const TensorPair& pair : pairs)
    rows.push_back({pair.a->name, pair.a->codec, pair.b->codec, Bits(pair.a->size),
                    Bits(pair.b->size),
                    RatioOf(pair.a->size.stored_bytes, pair.b->size.stored_bytes),
                    ErrorText(pair.a->relative_error), ErrorText(pair.b->relative_error),
                    pair.same_bytes ? "the same" : "differ"});
  return "\n" + AlignTable(rows, "  ");
}

double Difference(const TensorPair& pair, PairOrder order) {
  switch (order) {
    case PairOrder::kError:
      return std::fabs(pair.b->relative_error - pair.a->relative_error);
    case PairOrder::kBits:
      return std::fabs(pair.b->size.stored_bits_per_weight() -
                       pair.a->size.stored_bits_per_weight());
    case PairOrder::kSize:
      return std::fabs(static_cast<double>(pair.b->size.stored_bytes) -
                       static_cast<double>(pair.a->size.stored_bytes));
    case PairOrder::kStream:
      break;
  }
  return 0;
}

std::vector<TensorPair> Sorted(std::vector<TensorPair> pairs, PairOrder order) {
  std::ranges::stable_sort(pairs, std::ranges::greater(),
                           [&](const TensorPair& pair) { return Difference(pair, order); });
  return pairs;
}

void SayAlone(const char* side, const std::vector<const TensorSummary*>& alone, std::string& text,
              std::size_t columns) {
  if (alone.empty()) return;
  std::string names;
  for (std::size_t i = 0; i < std::min(alone.size(), kNamed); ++i)
    names += (i > 0 ? ", " : "") + alone[i]->name;
  if (alone.size() > kNamed) names += fmt::format(" and {} more", alone.size() - kNamed);
  text += FactLine(side, names, columns);
}

std::string ValueText(const Json& value) {
  if (value.is_null()) return "none";
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kShownConfigBytes) text = text.substr(0, kShownConfigBytes) + "...";
  return text;
}

// The model, tensors that one has alone, and how many are alike.
std::string Differences(const Comparison& c, std::size_t columns) {
  std::string text = "\n";
  for (const ConfigDifference& d : c.config)
    text += FactLine(
        "config", fmt::format("{}: {} against {}", d.key, ValueText(d.a), ValueText(d.b)), columns);
  std::size_t shapes = 0;
  for (const TensorPair& pair : c.pairs)
    if (!pair.same_shape && ++shapes <= kNamed)
      text += FactLine("shape",
                       fmt::format("{}: {} against {}", pair.a->name, fmt::join(pair.a->shape, "x"),
                                   fmt::join(pair.b->shape, "x")),
                       columns);
  if (shapes > kNamed)
    text += FactLine("", fmt::format("and {} more of other shapes", shapes - kNamed), columns);
  SayAlone("only in A", c.only_a, text, columns);
  SayAlone("only in B", c.only_b, text, columns);
  text += FactLine(
      "alike",
      fmt::format("{} of {} tensors in both are made alike, {} of them are the same bytes{}",
                  c.same_making(), c.pairs.size(), c.same_bytes(),
                  c.same_model() ? ": one model" : ""),
      columns);
  return text;
}

Json SideJson(const Summary& summary, const std::string& name) {
  const SizeSum linear = summary.role("linear");
  Json json = {{"name", name},
               {"kind", summary.root_digest.empty() ? "source" : "artifact"},
               {"bytes", summary.file_bytes},
               {"weights", summary.total.weights},
               {"bits_per_weight_linear", linear.stored_bits_per_weight()},
               {"bits_per_weight_total", summary.total.stored_bits_per_weight()}};
  if (!summary.root_digest.empty()) {
    json["root_digest"] = summary.root_digest;
    json["bits_per_weight_linear_resident"] = linear.resident_bits_per_weight();
    json["resident_bytes"] = summary.total.resident_bytes;
  }
  return json;
}

Json TensorSideJson(const TensorSummary& tensor) {
  Json json = {{"shape", tensor.shape},
               {"codec", tensor.codec},
               {"planes", PlanesText(tensor)},
               {"bytes", tensor.size.stored_bytes},
               {"bits_per_weight", tensor.size.stored_bits_per_weight()}};
  if (tensor.relative_error >= 0) json["relative_error"] = tensor.relative_error;
  return json;
}

Json Names(const std::vector<const TensorSummary*>& tensors) {
  Json names = Json::array();
  for (const TensorSummary* tensor : tensors) names.push_back(tensor->name);
  return names;
}

}  // namespace

std::string ComparisonText(const Comparison& c, const std::string& a, const std::string& b,
                           bool with_tensors, PairOrder order, std::size_t columns) {
  std::string text =
      fmt::format("A  {}\nB  {}\n\n", untrusted::Printable(a), untrusted::Printable(b));
  text += SideTable(c, columns) + RoleTable(c);
  text += with_tensors || order != PairOrder::kStream ? TensorTable(Sorted(c.pairs, order))
                                                      : LayerTable(c, columns);
  return text + Differences(c, columns);
}

Json ComparisonJson(const Comparison& c, const std::string& a, const std::string& b,
                    PairOrder order) {
  Json config = Json::object(), tensors = Json::array();
  for (const ConfigDifference& d : c.config) config[d.key] = {{"a", d.a}, {"b", d.b}};
  for (const TensorPair& pair : Sorted(c.pairs, order))
    tensors.push_back({{"name", pair.a->name},
                       {"role", pair.a->role},
                       {"layer", pair.a->layer},
                       {"same_making", pair.same_making},
                       {"same_bytes", pair.same_bytes},
                       {"a", TensorSideJson(*pair.a)},
                       {"b", TensorSideJson(*pair.b)}});
  return {{"kind", "comparison"},
          {"a", SideJson(*c.a, a)},
          {"b", SideJson(*c.b, b)},
          {"same_model", c.same_model()},
          {"same_making", c.same_making()},
          {"same_bytes", c.same_bytes()},
          {"config", config},
          {"only_a", Names(c.only_a)},
          {"only_b", Names(c.only_b)},
          {"tensors", tensors}};
}

}  // namespace ingot::inspect
