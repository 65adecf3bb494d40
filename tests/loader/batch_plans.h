// Sequences stepped together, each at its own pace, for tests of what a row may depend on.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <vector>

#include "loader/runner.h"

namespace ingot::loader {

// A sequence and how many of its tokens each of its steps takes.
struct Plan {
  std::vector<model::TokenId> ids;
  std::vector<std::size_t> chunks;
  std::vector<std::uint32_t> planes = {};  // by position; empty: all
};

using PlanLogits = std::vector<std::vector<float>>;  // by position

// Plans of sequences that are no prefixes of each other, of different lengths and paces.
inline std::vector<Plan> Plans(const Model& model) {
  const auto vocab = static_cast<model::TokenId>(model.architecture().vocab_size);
  const auto ids = [&](std::size_t count, model::TokenId factor) {
    std::vector<model::TokenId> result;
    for (std::size_t i = 0; i < count; ++i)
      result.push_back(
          (static_cast<model::TokenId>(i * i) * factor + static_cast<model::TokenId>(i) + 3) %
          vocab);
    return result;
  };
  if (model.architecture().masked)  // whole sequences
    return {{ids(19, 3), {19}}, {ids(5, 7), {5}}, {ids(8, 11), {8}}};
  return {{ids(41, 3), {13, 1, 1, 9, 1, 16}},
          {ids(12, 7), {1, 1, 1, 5, 3, 1}},
          {ids(27, 11), {11, 2, 7, 1, 5, 1}}};
}

// Runs plans, the next chunk of each in one step; in step s the sequences stand in an order that s
// turns. Logits of every row.
inline std::vector<PlanLogits> Together(const std::shared_ptr<const Model>& model,
                                        const std::vector<Plan>& plans) {
  Runner runner(model);
  std::vector<std::unique_ptr<Sequence>> sequences;
  for (std::size_t i = 0; i < plans.size(); ++i) sequences.push_back(runner.Open());
  std::vector<PlanLogits> logits(plans.size());
  for (std::size_t step = 0;; ++step) {
    std::vector<model::TokenId> ids;
    std::vector<model::Row> rows;
    std::vector<std::size_t> owners;
    for (std::size_t turn = 0; turn < plans.size(); ++turn) {
      const std::size_t i = (turn + step) % plans.size();
      if (step >= plans[i].chunks.size()) {
        sequences[i].reset();
        continue;
      }
      for (std::size_t k = 0; k < plans[i].chunks[step]; ++k) {
        const std::size_t position = sequences[i]->position() + k;
        ids.push_back(plans[i].ids[position]);
        rows.push_back({sequences[i]->number(), static_cast<std::int32_t>(position)});
        if (!plans[i].planes.empty()) rows.back().planes = plans[i].planes[position];
        owners.push_back(i);
      }
    }
    if (rows.empty()) return logits;
    EXPECT_LE(rows.size(), 32u);
    std::vector<std::uint32_t> wanted(rows.size());
    std::iota(wanted.begin(), wanted.end(), 0u);
    const auto got = runner.Step({ids, rows}, wanted);
    EXPECT_TRUE(got.ok()) << got.status().message();
    if (!got.ok()) return logits;
    for (std::size_t r = 0; r < rows.size(); ++r)
      logits[owners[r]].emplace_back(got->row(r), got->row(r) + got->cols());
  }
}

// Token by token.
inline Plan OneByOne(Plan plan) {
  plan.chunks.assign(plan.ids.size(), 1);
  return plan;
}

}  // namespace ingot::loader
