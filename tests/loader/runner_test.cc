// Runners and their sequences: what a step refuses, forks, failures that come late, layers left.
#include "loader/runner.h"

#include <gtest/gtest.h>

#include "loader/session.h"
#include "tests/model/model_fixtures.h"

namespace ingot::loader {
namespace {

using model::TokenId;

std::shared_ptr<const Model> Open(const std::string& name) {
  ModelOptions options;
  options.compute = Compute::kExact;
  auto model = Model::Open(FixturePath(name), options);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? *model : nullptr;
}

// Logits after `ids`, which follow in one step.
Result<std::vector<float>> Append(Runner& runner, Sequence& sequence, std::vector<TokenId> ids) {
  std::vector<model::Row> rows;
  for (std::size_t i = 0; i < ids.size(); ++i)
    rows.push_back({sequence.number(), static_cast<std::int32_t>(sequence.position() + i)});
  const auto last = static_cast<std::uint32_t>(ids.size() - 1);
  INGOT_ASSIGN(const Tensor logits, runner.Step({ids, rows}, {&last, 1}));
  return std::vector<float>(logits.data(), logits.data() + logits.size());
}

std::vector<float> Fresh(const std::shared_ptr<const Model>& model, std::vector<TokenId> ids) {
  Runner runner(model);
  const auto sequence = runner.Open();
  const auto logits = Append(runner, *sequence, std::move(ids));
  EXPECT_TRUE(logits.ok()) << logits.status().message();
  return *logits;
}

std::string Refusal(Runner& runner, std::vector<TokenId> ids, std::vector<model::Row> rows,
                    std::vector<std::uint32_t> wanted = {}) {
  return runner.Hidden({ids, rows}, wanted).status().message();
}

TEST(RunnerTest, RefusesRowsThatDoNotFollowAndChangesNothing) {
  const auto model = Open("llama");
  ASSERT_NE(model, nullptr);
  Runner runner(model);
  const auto a = runner.Open(), b = runner.Open();
  ASSERT_TRUE(Append(runner, *a, {1, 2, 3}).ok());
  EXPECT_EQ(Refusal(runner, {}, {}), "no tokens to run");
  EXPECT_EQ(Refusal(runner, {5}, {}), "1 tokens have 0 rows");
  EXPECT_EQ(Refusal(runner, {96}, {{0, 3}}), "token id 96 is outside the vocabulary of 96");
  EXPECT_EQ(Refusal(runner, {5}, {{2, 0}}), "row 0: there is no sequence 2");
  EXPECT_EQ(Refusal(runner, {5}, {{0, 4}}),
            "row 0: position 4 of sequence 0, which continues at 3");
  EXPECT_EQ(Refusal(runner, {5, 6}, {{0, 3}, {0, 3}}),
            "row 1: position 3 of sequence 0, which continues at 4");
  EXPECT_EQ(Refusal(runner, {5, 6, 7}, {{0, 3}, {1, 0}, {0, 4}}),
            "row 2: the rows of sequence 0 must stand together");
  EXPECT_EQ(Refusal(runner, {5}, {{0, 3, model::kAllPlanes, 1}}), "row 0: delta 1 is not loaded");
  EXPECT_EQ(Refusal(runner, {5}, {{0, 3}}, {1}), "row 1 is wanted of 1");
  EXPECT_EQ(a->position(), 3u);
  EXPECT_EQ(b->position(), 0u);
  EXPECT_EQ(*Append(runner, *a, {4}), Fresh(model, {1, 2, 3, 4}));
}

TEST(RunnerTest, NumbersAreUsedAgain) {
  const auto model = Open("mamba");
  ASSERT_NE(model, nullptr);
  Runner runner(model);
  auto a = runner.Open();
  const auto b = runner.Open();
  ASSERT_TRUE(Append(runner, *a, {1, 2, 3}).ok());
  a.reset();
  const auto c = runner.Open();
  EXPECT_EQ(c->number(), 0u);
  EXPECT_EQ(*Append(runner, *c, {4, 5}), Fresh(model, {4, 5}));  // nothing of a is in it
}

class ForkTest : public testing::TestWithParam<const char*> {};

TEST_P(ForkTest, AForkGoesItsOwnWay) {
  const auto model = Open(GetParam());
  ASSERT_NE(model, nullptr);
  Runner runner(model);
  const auto a = runner.Open();
  std::vector<TokenId> ids;
  for (TokenId i = 0; i < 70; ++i) ids.push_back(i * 5 % 40 + 3);  // beyond a page
  ASSERT_TRUE(Append(runner, *a, ids).ok());
  const std::uint64_t pages = runner.pool().pages_in_use();
  const auto b = runner.Fork(*a);
  EXPECT_EQ(runner.pool().pages_in_use(), pages);
  EXPECT_EQ(b->position(), 70u);
  const auto of = [&](TokenId next) {
    std::vector<TokenId> all = ids;
    all.push_back(next);
    return Fresh(model, all);
  };
  EXPECT_EQ(*Append(runner, *b, {7}), of(7));
  EXPECT_EQ(*Append(runner, *a, {8}), of(8));
  runner.Truncate(*b, 70);
  EXPECT_EQ(*Append(runner, *b, {9}), of(9));
}

INSTANTIATE_TEST_SUITE_P(Models, ForkTest,
                         testing::Values("llama", "mistral-window", "jamba", "rwkv6-hf", "retnet"),
                         FixtureTestName());

// What a refused step would have been long is forgotten: the frequencies of these ropes go by it.
TEST(RunnerTest, ARefusedStepDoesNotLengthenTheOthers) {
  for (const char* name : {"llama-longrope", "llama-dynamic"}) {
    const auto model = Open(name);
    ASSERT_NE(model, nullptr);
    RunnerOptions options;
    options.context = 60;
    Runner runner(model, options);
    const auto a = runner.Open(), b = runner.Open();
    std::vector<TokenId> ids(58);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i * 7 % 40 + 3);
    std::vector<TokenId> first(ids.begin(), ids.begin() + 30);
    ASSERT_TRUE(Append(runner, *a, first).ok());
    ASSERT_TRUE(Append(runner, *b, ids).ok());
    const std::vector<TokenId> more(25, 5);
    std::vector<model::Row> rows;
    for (std::int32_t i = 0; i < 20; ++i) rows.push_back({a->number(), 30 + i});
    for (std::int32_t i = 0; i < 5; ++i) rows.push_back({b->number(), 58 + i});
    EXPECT_EQ(runner.Hidden({more, rows}, {}).status().code(), StatusCode::kLimit) << name;
    Runner alone(model, options);
    const auto c = alone.Open();
    ASSERT_TRUE(Append(alone, *c, first).ok());
    EXPECT_EQ(*Append(runner, *a, {9}), *Append(alone, *c, {9})) << name;
  }
}

TEST(RunnerTest, AFullPoolIsALimitForAllOfTheStep) {
  const auto model = Open("llama");
  ASSERT_NE(model, nullptr);
  RunnerOptions options;
  options.most_pages = 1;
  Runner runner(model, options);
  const auto a = runner.Open(), b = runner.Open();
  EXPECT_EQ(Refusal(runner, {1, 2}, {{0, 0}, {1, 0}}),
            "KV cache: 1 pages wanted, but 1 of 1 are in use");
  EXPECT_EQ(a->position() + b->position(), 0u);
  EXPECT_EQ(*Append(runner, *a, {1, 2}), Fresh(model, {1, 2}));
}

class LateTest : public testing::TestWithParam<const char*> {};

TEST_P(LateTest, WhatFailsInsideAForwardIsReportedAndStays) {
  const auto model = Open(GetParam());
  ASSERT_NE(model, nullptr);
  Runner runner(model);
  const auto a = runner.Open();
  ASSERT_TRUE(Append(runner, *a, {1, 2}).ok());
  runner.ops().after_layer = [&](std::size_t, Tensor&, std::span<const std::uint32_t>) {
    runner.ops().Fail(IoError("device lost"));
    return model::GoingRows();
  };
  EXPECT_EQ(Append(runner, *a, {3}).status().message(), "device lost");
  EXPECT_EQ(a->position(), 2u);
  runner.ops().after_layer = nullptr;
  EXPECT_EQ(runner.status().code(), StatusCode::kIo);
  EXPECT_EQ(Append(runner, *a, {3}).status().message(), "device lost");
}

// Rows that leave, one of a step's sequences, are no matter to the others; and what comes after
// them is the same as if they had been alone.
TEST_P(LateTest, RowsThatLeaveDoSoForThemselves) {
  const auto model = Open(GetParam());
  ASSERT_NE(model, nullptr);
  // Logits after the last token of each sequence; the first three rows of the first step leave.
  const auto run = [&](bool a_runs, bool b_runs) {
    Runner runner(model);
    const auto a = runner.Open(), b = runner.Open();
    std::vector<TokenId> ids;
    std::vector<model::Row> rows;
    const auto add = [&](const Sequence& sequence, const std::vector<TokenId>& tokens) {
      for (std::size_t i = 0; i < tokens.size(); ++i)
        rows.push_back({sequence.number(), static_cast<std::int32_t>(i)});
      ids.insert(ids.end(), tokens.begin(), tokens.end());
    };
    if (a_runs) add(*a, {5, 6, 7});
    if (b_runs) add(*b, {9, 10, 11, 12});
    runner.ops().after_layer = [&](std::size_t layer, Tensor&, std::span<const std::uint32_t>) {
      if (layer != 0 || !a_runs) return model::GoingRows();
      std::vector<std::uint32_t> going;
      for (std::uint32_t r = 3; r < rows.size(); ++r) going.push_back(r);
      return model::GoingRows(going);
    };
    EXPECT_TRUE(runner.Hidden({ids, rows}, {}).ok());
    runner.ops().after_layer = nullptr;
    std::vector<std::vector<float>> after(2);
    if (a_runs) after[0] = *Append(runner, *a, {7});
    if (b_runs) after[1] = *Append(runner, *b, {8});
    return after;
  };
  const auto both = run(true, true);
  EXPECT_EQ(both[0], run(true, false)[0]);
  EXPECT_EQ(both[1], run(false, true)[1]);
  EXPECT_EQ(both[1], Fresh(model, {9, 10, 11, 12, 8}));
  // Of two layers the second makes the same keys whether rows left below it or not.
  if (model->architecture().layers.size() > 2) {
    EXPECT_NE(both[0], Fresh(model, {5, 6, 7, 7}));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, LateTest, testing::Values("llama", "jamba", "rwkv7-pth"),
                         FixtureTestName());

}  // namespace
}  // namespace ingot::loader
