#include "inspect/comparison.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

namespace ingot::inspect {
namespace {

bool SamePlanes(const TensorSummary& a, const TensorSummary& b) {
  return std::ranges::equal(a.planes, b.planes, [](const PlaneSummary& x, const PlaneSummary& y) {
    return x.description == y.description && x.level == y.level;
  });
}

std::vector<ConfigDifference> CompareConfigs(const Json& a, const Json& b) {
  std::vector<ConfigDifference> differences;
  std::set<std::string> keys;
  for (const Json* config : {&a, &b})
    if (config->is_object())
      for (const auto& [key, value] : config->items()) keys.insert(key);
  for (const std::string& key : keys) {
    const auto of = [&](const Json& config) {
      return config.is_object() && config.contains(key) ? config[key] : Json();
    };
    if (of(a) != of(b)) differences.push_back({key, of(a), of(b)});
  }
  return differences;
}

}  // namespace

std::size_t Comparison::same_bytes() const {
  return static_cast<std::size_t>(std::ranges::count(pairs, true, &TensorPair::same_bytes));
}

std::size_t Comparison::same_making() const {
  return static_cast<std::size_t>(std::ranges::count(pairs, true, &TensorPair::same_making));
}

bool Comparison::same_model() const {
  return only_a.empty() && only_b.empty() && config.empty() && same_bytes() == pairs.size();
}

Comparison Compare(const Summary& a, const Summary& b) {
  Comparison comparison;
  comparison.a = &a;
  comparison.b = &b;
  std::map<std::string_view, const TensorSummary*> left;  // of b, what has no partner yet
  for (const TensorSummary& tensor : b.tensors) left.emplace(tensor.name, &tensor);
  for (const TensorSummary& tensor : a.tensors) {
    const auto partner = left.find(tensor.name);
    if (partner == left.end()) {
      comparison.only_a.push_back(&tensor);
      continue;
    }
    const TensorSummary& other = *partner->second;
    TensorPair pair{&tensor, &other};
    pair.same_shape = tensor.shape == other.shape;
    pair.same_making = pair.same_shape && tensor.codec == other.codec && SamePlanes(tensor, other);
    pair.same_bytes =
        pair.same_making && !tensor.content.empty() && tensor.content == other.content;
    comparison.pairs.push_back(pair);
    left.erase(partner);
  }
  for (const TensorSummary& tensor : b.tensors)
    if (left.contains(tensor.name)) comparison.only_b.push_back(&tensor);
  comparison.config = CompareConfigs(a.config, b.config);
  return comparison;
}

}  // namespace ingot::inspect
