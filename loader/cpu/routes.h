// Which tokens go to which expert of a mixture: what op sets share that choose on the host.
//
// Thread rule: pure functions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ingot::loader {

// Which tokens go to which expert, with which weight: experts_per_token entries a token.
struct Routes {
  struct Row {
    std::uint32_t row;
    float weight;
  };
  std::vector<std::vector<Row>> by_expert;
};

// Softmax of a router's logits (rows x experts), the per_token largest of a row, rescaled to sum to
// one where `normalize` says so; a NaN counts as lowest.
inline Routes RouteRows(const float* logits, std::size_t rows, std::size_t experts,
                        std::size_t per_token, bool normalize) {
  Routes routes;
  routes.by_expert.resize(experts);
  std::vector<float> weights(experts);
  std::vector<std::uint32_t> order(experts);
  for (std::size_t t = 0; t < rows; ++t) {
    const float* row = logits + t * experts;
    const float max = *std::max_element(row, row + experts);
    float sum = 0;
    for (std::size_t e = 0; e < experts; ++e) sum += weights[e] = std::exp(row[e] - max);
    for (std::size_t e = 0; e < experts; ++e) order[e] = static_cast<std::uint32_t>(e);
    // NaN compares as lowest, so that the order stays strict.
    const auto key = [&](std::uint32_t e) { return std::isnan(row[e]) ? -HUGE_VALF : row[e]; };
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(per_token),
                      order.end(), [&](std::uint32_t a, std::uint32_t b) {
                        return key(a) != key(b) ? key(a) > key(b) : a < b;
                      });
    float kept = 0;
    for (std::size_t i = 0; i < per_token; ++i) kept += weights[order[i]];
    for (std::size_t i = 0; i < per_token; ++i)
      routes.by_expert[order[i]].push_back(
          {static_cast<std::uint32_t>(t), weights[order[i]] / (normalize ? kept : sum)});
  }
  return routes;
}

}  // namespace ingot::loader
