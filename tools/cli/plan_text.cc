#include "tools/cli/plan_text.h"

#include <fmt/format.h>

#include <map>
#include <vector>

#include "inspect/text_format.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

using Rows = std::vector<std::vector<std::string>>;

struct Sum {
  std::uint64_t tensors = 0, weights = 0, source = 0, exact = 0, at_most = 0;
  bool data_dependent = false;

  void Add(const pack::PlannedTensor& tensor) {
    ++tensors;
    weights += tensor.weights();
    source += tensor.source_bytes();
    exact += tensor.bytes.exact;
    at_most += tensor.bytes.at_most;
    data_dependent |= tensor.bytes.data_dependent;
  }
};

std::string SizeText(std::uint64_t exact, std::uint64_t at_most, bool data_dependent) {
  return fmt::format("{}{}{}", exact + at_most, data_dependent ? "+" : "",
                     at_most > 0 ? " at most" : "");
}

std::string BitsText(std::uint64_t bytes, std::uint64_t weights) {
  if (weights == 0) return "-";
  return fmt::format("{:.3f}", 8.0 * static_cast<double>(bytes) / static_cast<double>(weights));
}

std::vector<std::string> SumRow(const std::string& name, const Sum& sum) {
  return {name,
          fmt::format("{} tensors", sum.tensors),
          "",
          "",
          SizeText(sum.exact, sum.at_most, sum.data_dependent),
          BitsText(sum.exact + sum.at_most, sum.weights)};
}

pack::Json SumJson(const Sum& sum) {
  return {{"tensors", sum.tensors},       {"weights", sum.weights},
          {"source_bytes", sum.source},   {"exact_bytes", sum.exact},
          {"at_most_bytes", sum.at_most}, {"data_dependent", sum.data_dependent}};
}

std::pair<Sum, std::map<std::string, Sum>> SumUp(const pack::PackPlan& plan) {
  Sum total;
  std::map<std::string, Sum> roles;
  for (const pack::PlannedTensor& tensor : plan.tensors) {
    total.Add(tensor);
    roles[std::string(pack::RoleName(tensor.role))].Add(tensor);
  }
  return {total, roles};
}

}  // namespace

std::string PlanText(const pack::PackPlan& plan) {
  Rows rows = {{"tensor", "shape", "from", "codec", "bytes", "bpw"}};
  for (const pack::PlannedTensor& tensor : plan.tensors)
    rows.push_back({tensor.source.name, fmt::format("{}", fmt::join(tensor.shape, "x")),
                    tensor.source.stored_type, pack::RecipeText(tensor.recipe),
                    SizeText(tensor.bytes.exact, tensor.bytes.at_most, tensor.bytes.data_dependent),
                    BitsText(tensor.bytes.exact + tensor.bytes.at_most, tensor.weights())});
  const auto [total, roles] = SumUp(plan);
  for (const auto& [role, sum] : roles) rows.push_back(SumRow("all of kind " + role, sum));
  rows.push_back(SumRow("all", total));
  std::string text = inspect::AlignTable(rows, "");
  text += fmt::format(
      "{} of weights from {} of source; tokenizer, manifest and index come on top\n",
      inspect::HumanBytes(total.exact + total.at_most), inspect::HumanBytes(total.source));
  for (const std::string& name : plan.unused)
    text += fmt::format("left out, not used by the model: {}\n", untrusted::Printable(name));
  return text;
}

pack::Json PlanJson(const pack::PackPlan& plan) {
  pack::Json tensors = pack::Json::array();
  for (const pack::PlannedTensor& tensor : plan.tensors)
    tensors.push_back({{"name", tensor.source.name},
                       {"shape", tensor.shape},
                       {"dtype", DTypeName(tensor.source.dtype)},
                       {"role", pack::RoleName(tensor.role)},
                       {"layer", tensor.layer},
                       {"codec", pack::RecipeText(tensor.recipe)},
                       {"exact_bytes", tensor.bytes.exact},
                       {"at_most_bytes", tensor.bytes.at_most},
                       {"data_dependent", tensor.bytes.data_dependent},
                       {"resident_bytes", tensor.resident_bytes}});
  const auto [total, roles] = SumUp(plan);
  pack::Json kinds = pack::Json::object();
  for (const auto& [role, sum] : roles) kinds[role] = SumJson(sum);
  return {{"family", plan.family},
          {"tensors", tensors},
          {"unused", plan.unused},
          {"kinds", kinds},
          {"total", SumJson(total)}};
}

std::string SweepText(const std::vector<jobs::BudgetPoint>& points) {
  Rows rows = {{"bpw", "linear bytes", "file (about)", "predicted KL"}};
  for (const jobs::BudgetPoint& point : points)
    rows.push_back({fmt::format("{:.3f}", point.linear_bits),
                    fmt::format("{:.0f}", point.linear_bytes),
                    inspect::HumanBytes(static_cast<std::uint64_t>(point.file_bytes)),
                    fmt::format("{:.5f}", point.predicted_loss)});
  return inspect::AlignTable(rows, "");
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
