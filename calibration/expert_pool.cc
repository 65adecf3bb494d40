#include "calibration/expert_pool.h"

#include <fmt/format.h>

#include <algorithm>

namespace ingot::calibration {
namespace {

// An expert with fewer tokens than this share of its columns takes the layer's pooled statistics.
constexpr double kLeastTokensPerColumn = 0.25;

}  // namespace

ExpertPool FindPoorExperts(
    const model::MlpSpec& mlp,
    const std::function<std::uint64_t(const model::LinearRef&)>& tokens_of) {
  ExpertPool pool;
  pool.down_key = "pooled/" + mlp.experts[0].down.weight;
  for (std::size_t e = 0; e < mlp.experts.size(); ++e) {
    const model::LinearRef& down = mlp.experts[e].down;
    const std::uint64_t tokens = tokens_of(down);
    pool.coverage.push_back(static_cast<float>(tokens));
    pool.tokens += tokens;
    if (static_cast<double>(tokens) <
        kLeastTokensPerColumn * static_cast<double>(std::max(down.cols, mlp.router.cols)))
      pool.poor.push_back(e);
  }
  if (pool.tokens == 0) pool.poor.clear();
  return pool;
}

std::vector<std::string> TakePooledInputs(const ExpertPool& pool, const model::MlpSpec& mlp,
                                          const std::string& stage,
                                          std::map<std::string, std::string>& key_of,
                                          std::vector<std::string>& notes) {
  std::vector<std::string> unread;
  const std::string input = key_of.at(mlp.router.weight);
  for (const std::size_t e : pool.poor) {
    const model::MlpSpec& expert = mlp.experts[e];
    notes.push_back(
        fmt::format("{}: expert {} saw {} tokens: it takes the layer's pooled MLP input ('{}') and "
                    "the experts' pooled down input ('{}')",
                    stage, e, static_cast<std::uint64_t>(pool.coverage[e]), input, pool.down_key));
    for (const model::LinearRef* ref : {&expert.gate, &expert.up, &expert.down}) {
      if (!ref->present()) continue;
      unread.push_back(ref->weight);
      key_of[ref->weight] = ref == &expert.down ? pool.down_key : input;
    }
  }
  return unread;
}

std::string DampingNote(const std::string& stage, const std::string& key, std::uint64_t tokens,
                        double damping) {
  if (damping < 0)
    return fmt::format("{}: E[xxᵀ] of '{}' over {} tokens cannot be made positive definite", stage,
                       key, tokens);
  return fmt::format(
      "{}: E[xxᵀ] of '{}' over {} tokens is not positive definite: {:g} of its mean diagonal was "
      "added",
      stage, key, tokens, damping);
}

}  // namespace ingot::calibration
