#include "calibration/importance.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ingot::calibration {
namespace {

std::size_t BinOf(std::size_t index, std::size_t context) {
  return index % context * kPositionBins / context;
}

// Mean of `values` by bin; 0 for a bin that no position falls in.
std::vector<float> ByPosition(std::span<const float> values, std::size_t context) {
  std::vector<double> sums(kPositionBins), counts(kPositionBins);
  for (std::size_t i = 0; i < values.size(); ++i) {
    sums[BinOf(i, context)] += values[i];
    counts[BinOf(i, context)] += 1;
  }
  std::vector<float> means(kPositionBins);
  for (std::size_t b = 0; b < kPositionBins; ++b)
    means[b] = static_cast<float>(counts[b] > 0 ? sums[b] / counts[b] : 0);
  return means;
}

// The ids that occur most often, ties by id.
std::vector<std::pair<std::int32_t, std::size_t>> TopTokens(std::span<const std::int32_t> ids) {
  std::map<std::int32_t, std::size_t> counts;
  for (const std::int32_t id : ids) ++counts[id];
  std::vector<std::pair<std::int32_t, std::size_t>> all(counts.begin(), counts.end());
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  if (all.size() > kTopTokens) all.resize(kTopTokens);
  return all;
}

// Mean of `values` over the tokens with each of the ids.
std::vector<float> ByToken(std::span<const float> values, std::span<const std::int32_t> ids,
                           std::span<const std::pair<std::int32_t, std::size_t>> top) {
  std::map<std::int32_t, double> sums;
  for (const auto& [id, count] : top) sums[id] = 0;
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (const auto it = sums.find(ids[i]); it != sums.end()) it->second += values[i];
  std::vector<float> means;
  for (const auto& [id, count] : top)
    means.push_back(static_cast<float>(sums[id] / static_cast<double>(count)));
  return means;
}

// The mean over layers, token by token.
std::vector<float> MeanOverLayers(const TokenValues& tokens, const std::string& name) {
  std::vector<double> sums(tokens.ids.size());
  double layers = 0;
  for (const auto& layer : tokens.layers) {
    const auto it = layer.find(name);
    if (it == layer.end()) continue;
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += it->second[i];
    layers += 1;
  }
  std::vector<float> means(layers > 0 ? sums.size() : 0);
  for (std::size_t i = 0; i < means.size(); ++i) means[i] = static_cast<float>(sums[i] / layers);
  return means;
}

Status CheckSizes(const TokenValues& tokens) {
  const auto check = [&](const std::string& name, std::size_t size) {
    if (size == tokens.ids.size()) return OkStatus();
    return InvalidArgument(
        fmt::format("'{}' has {} values for {} tokens", name, size, tokens.ids.size()));
  };
  if (tokens.context == 0 || tokens.ids.empty()) return InvalidArgument("no tokens");
  for (const auto& layer : tokens.layers)
    for (const auto& [name, values] : layer) INGOT_TRY(check(name, values.size()));
  return tokens.entropy.empty() ? OkStatus() : check("entropy", tokens.entropy.size());
}

}  // namespace

Result<std::vector<NamedTable>> ImportanceTables(const TokenValues& tokens) {
  INGOT_TRY(CheckSizes(tokens));
  std::vector<NamedTable> tables;
  const auto top = TopTokens(tokens.ids);
  NamedTable ids{"importance/token/ids", {top.size()}, {}};
  NamedTable counts{"importance/token/counts", {top.size()}, {}};
  for (const auto& [id, count] : top) {
    ids.values.push_back(static_cast<float>(id));
    counts.values.push_back(static_cast<float>(count));
  }
  tables.push_back(std::move(ids));
  tables.push_back(std::move(counts));
  const std::uint64_t layers = tokens.layers.size();
  NamedTable cosine{"cosine/layers", {layers}, {}};
  for (const std::string name : {"attention", "hidden_norm", "gradient", "cosine"}) {
    NamedTable by_position{"importance/position/" + name, {layers, kPositionBins}, {}};
    for (const auto& layer : tokens.layers) {
      const auto it = layer.find(name);
      const std::vector<float> bins = it == layer.end() ? std::vector<float>(kPositionBins)
                                                        : ByPosition(it->second, tokens.context);
      by_position.values.insert(by_position.values.end(), bins.begin(), bins.end());
      if (name != "cosine" || it == layer.end()) continue;
      double sum = 0;
      for (const float value : it->second) sum += value;
      cosine.values.push_back(static_cast<float>(sum / static_cast<double>(it->second.size())));
    }
    tables.push_back(std::move(by_position));
    const std::vector<float> mean = MeanOverLayers(tokens, name);
    if (!mean.empty())
      tables.push_back({"importance/token/" + name, {top.size()}, ByToken(mean, tokens.ids, top)});
  }
  if (cosine.values.size() == layers) tables.push_back(std::move(cosine));
  if (!tokens.entropy.empty()) {
    tables.push_back({"importance/position/entropy",
                      {kPositionBins},
                      ByPosition(tokens.entropy, tokens.context)});
    tables.push_back(
        {"importance/token/entropy", {top.size()}, ByToken(tokens.entropy, tokens.ids, top)});
  }
  return tables;
}

}  // namespace ingot::calibration
