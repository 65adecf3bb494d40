#include "tools/cli/plan_text.h"

#include <fmt/format.h>

#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "inspect/text_format.h"
#include "pack/name_pattern.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

using Rows = std::vector<std::vector<std::string>>;

struct Sum {
  std::uint64_t tensors = 0, weights = 0, source = 0, exact = 0, at_most = 0, about = 0;
  bool data_dependent = false, open = false;

  // `bytes` are what the tensor comes to, about where they are not all `exact`.
  void Add(const pack::PlannedTensor& tensor, std::uint64_t bytes) {
    ++tensors;
    weights += tensor.weights();
    source += tensor.source_bytes();
    exact += tensor.bytes.exact;
    at_most += tensor.bytes.at_most;
    about += bytes;
    data_dependent |= tensor.bytes.data_dependent;
    open |= tensor.bytes.at_most > 0 || tensor.bytes.data_dependent || bytes != tensor.bytes.exact;
  }
};

std::string BitsText(std::uint64_t bytes, std::uint64_t weights) {
  if (weights == 0) return "-";
  return fmt::format("{:.3f}", 8.0 * static_cast<double>(bytes) / static_cast<double>(weights));
}

std::vector<std::string> Row(const std::string& name, const std::string& shape,
                             const std::string& from, const std::string& codec, const Sum& sum) {
  return {name,
          std::to_string(sum.tensors),
          shape,
          from,
          codec,
          std::to_string(sum.about),
          BitsText(sum.about, sum.weights),
          sum.open ? "about" : ""};
}

pack::Json SumJson(const Sum& sum) {
  return {{"tensors", sum.tensors},       {"weights", sum.weights},
          {"source_bytes", sum.source},   {"exact_bytes", sum.exact},
          {"at_most_bytes", sum.at_most}, {"data_dependent", sum.data_dependent},
          {"estimated_bytes", sum.about}};
}

std::pair<Sum, std::map<std::string, Sum>> SumUp(const jobs::PlanJobResult& result) {
  Sum total;
  std::map<std::string, Sum> roles;
  for (std::size_t t = 0; t < result.plan.tensors.size(); ++t) {
    const pack::PlannedTensor& tensor = result.plan.tensors[t];
    total.Add(tensor, result.bytes[t]);
    roles[std::string(pack::RoleName(tensor.role))].Add(tensor, result.bytes[t]);
  }
  return {total, roles};
}

// The recipe, but for a rate that stands for bits that are yet to be spent.
std::string CodecOf(const jobs::PlanJobResult& result, const pack::PlannedTensor& tensor) {
  codecs::RecipeOptions recipe = tensor.recipe;
  if (result.learned_bits > 0 && recipe.codec == result.plan.preset.linear.codec) recipe.rate = 0;
  return pack::RecipeText(recipe);
}

// Tensors that differ in numbers inside their names alone and become the same.
struct Group {
  std::string pattern, shape, from, codec;
  Sum sum;
};

// In the plan's order of the first of each.
std::vector<Group> GroupsOf(const jobs::PlanJobResult& result) {
  std::vector<Group> groups;
  std::map<std::tuple<std::string, std::string, std::string, std::string>, std::size_t> known;
  for (std::size_t t = 0; t < result.plan.tensors.size(); ++t) {
    const pack::PlannedTensor& tensor = result.plan.tensors[t];
    const Group made = {pack::PatternOf(tensor.source.name),
                        fmt::format("{}", fmt::join(tensor.shape, "x")),
                        tensor.source.stored_type,
                        CodecOf(result, tensor),
                        {}};
    const auto [it, added] = known.try_emplace(
        std::tuple(made.pattern, made.shape, made.from, made.codec), groups.size());
    if (added) groups.push_back(made);
    Group& group = groups[it->second];
    if (group.sum.tensors == 1) group.pattern = made.pattern;
    if (group.sum.tensors == 0) group.pattern = tensor.source.name;
    group.sum.Add(tensor, result.bytes[t]);
  }
  return groups;
}

std::uint64_t FileBytes(const jobs::PlanJobResult& result, const Sum& total) {
  return total.about + static_cast<std::uint64_t>(result.overhead_bytes);
}

}  // namespace

std::string PlanText(const jobs::PlanJobResult& result, std::size_t columns) {
  Rows rows = {{"tensors", "count", "shape", "from", "codec", "bytes", "bpw", ""}};
  for (const Group& group : GroupsOf(result))
    rows.push_back(Row(group.pattern, group.shape, group.from, group.codec, group.sum));
  const auto [total, roles] = SumUp(result);
  for (const auto& [role, sum] : roles) rows.push_back(Row("all of kind " + role, "", "", "", sum));
  rows.push_back(Row("all", "", "", "", total));
  std::string notes = fmt::format(
      "{} of weights from {} of source; the file about {}, with tokenizer, manifest "
      "and index\n",
      inspect::HumanBytes(total.about), inspect::HumanBytes(total.source),
      inspect::HumanBytes(FileBytes(result, total)));
  if (result.learned_bits > 0)
    notes += fmt::format(
        "{:.3g} bits a weight one with another: which matrix gets more, the model "
        "tells when it is learned\n",
        result.learned_bits);
  for (const std::string& name : result.plan.unused)
    notes += fmt::format("left out, not used by the model: {}\n", untrusted::Printable(name));
  return inspect::AlignTable(rows, "", columns) + inspect::FitLines(notes, columns);
}

pack::Json PlanJson(const jobs::PlanJobResult& result) {
  const pack::PackPlan& plan = result.plan;
  pack::Json tensors = pack::Json::array();
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    const pack::PlannedTensor& tensor = plan.tensors[t];
    tensors.push_back({{"name", tensor.source.name},
                       {"shape", tensor.shape},
                       {"dtype", DTypeName(tensor.source.dtype)},
                       {"role", pack::RoleName(tensor.role)},
                       {"layer", tensor.layer},
                       {"codec", CodecOf(result, tensor)},
                       {"exact_bytes", tensor.bytes.exact},
                       {"at_most_bytes", tensor.bytes.at_most},
                       {"data_dependent", tensor.bytes.data_dependent},
                       {"estimated_bytes", result.bytes[t]},
                       {"resident_bytes", tensor.resident_bytes}});
  }
  const auto [total, roles] = SumUp(result);
  pack::Json kinds = pack::Json::object(), learning;
  for (const auto& [role, sum] : roles) kinds[role] = SumJson(sum);
  if (result.learning.has_value())
    learning = {
        {"seconds", result.learning->seconds},
        {"memory_bytes", result.learning->cost.fixed_bytes + result.learning->cost.window_bytes},
        {"disk_bytes", result.learning->cost.work_bytes}};
  return {{"family", plan.family},
          {"tensors", tensors},
          {"unused", plan.unused},
          {"kinds", kinds},
          {"total", SumJson(total)},
          {"estimated_file_bytes", FileBytes(result, total)},
          {"learns", result.unlearned},
          {"learning", learning},
          {"learned_bits_per_weight", result.learned_bits}};
}

std::string SweepText(const std::vector<jobs::BudgetPoint>& points, std::size_t columns) {
  Rows rows = {{"bpw", "linear bytes", "file (about)", "predicted KL"}};
  for (const jobs::BudgetPoint& point : points)
    rows.push_back({fmt::format("{:.3f}", point.linear_bits),
                    fmt::format("{:.0f}", point.linear_bytes),
                    inspect::HumanBytes(static_cast<std::uint64_t>(point.file_bytes)),
                    fmt::format("{:.5f}", point.predicted_loss)});
  return inspect::AlignTable(rows, "", columns);
}

pack::Json SweepJson(const std::vector<jobs::BudgetPoint>& points) {
  pack::Json list = pack::Json::array();
  for (const jobs::BudgetPoint& point : points)
    list.push_back({{"bits_per_weight_linear", point.linear_bits},
                    {"linear_bytes", point.linear_bytes},
                    {"file_bytes", point.file_bytes},
                    {"predicted_loss", point.predicted_loss}});
  return list;
}

}  // namespace ingot::cli
