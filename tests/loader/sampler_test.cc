#include "loader/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace ingot::loader {
namespace {

using model::TokenId;

Sampler Make(const SamplerOptions& options) {
  auto sampler = Sampler::Make(options);
  EXPECT_TRUE(sampler.ok()) << sampler.status().message();
  return *std::move(sampler);
}

std::set<TokenId> Support(const SamplerOptions& options, const std::vector<float>& logits) {
  Sampler sampler = Make(options);
  std::set<TokenId> drawn;
  for (int i = 0; i < 4000; ++i) drawn.insert(*sampler.Sample(logits, {}));
  return drawn;
}

// Probabilities 0.5, 0.25, 0.125, 0.125.
const std::vector<float> kLogits = {0.0f, std::log(2.0f), std::log(4.0f), 0.0f};

TEST(SamplerTest, GreedyTakesTheFirstLargest) {
  SamplerOptions options;
  options.temperature = 0;
  EXPECT_EQ(*Make(options).Sample(kLogits, {}), 2);
  EXPECT_EQ(*Make(options).Sample(std::vector<float>{1, 3, 3, 2}, {}), 1);
}

TEST(SamplerTest, DrawsInProportion) {
  Sampler sampler = Make({});
  std::map<TokenId, int> counts;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) ++counts[*sampler.Sample(kLogits, {})];
  // Five standard deviations.
  EXPECT_NEAR(counts[2], kDraws * 0.5, 5 * std::sqrt(kDraws * 0.25));
  EXPECT_NEAR(counts[1], kDraws * 0.25, 5 * std::sqrt(kDraws * 0.1875));
  EXPECT_NEAR(counts[0], kDraws * 0.125, 5 * std::sqrt(kDraws * 0.11));
}

TEST(SamplerTest, TemperatureSharpens) {
  SamplerOptions options;
  options.temperature = 0.5;  // 16 : 4 : 1 : 1
  Sampler sampler = Make(options);
  int top = 0;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) top += *sampler.Sample(kLogits, {}) == 2;
  EXPECT_NEAR(top, kDraws * 16.0 / 22, 5 * std::sqrt(kDraws * 0.2));
}

TEST(SamplerTest, FiltersKeepWhatTheySay) {
  SamplerOptions options;
  options.top_k = 1;
  EXPECT_EQ(Support(options, kLogits), (std::set<TokenId>{2}));
  options.top_k = 3;  // the tie at 0.125 goes to the lower id
  EXPECT_EQ(Support(options, kLogits), (std::set<TokenId>{0, 1, 2}));
  options = {};
  options.top_p = 0.5;
  EXPECT_EQ(Support(options, kLogits), (std::set<TokenId>{2}));
  options.top_p = 0.6;
  EXPECT_EQ(Support(options, kLogits), (std::set<TokenId>{1, 2}));
  options = {};
  options.min_p = 0.4;  // of the top's 0.5
  EXPECT_EQ(Support(options, kLogits), (std::set<TokenId>{1, 2}));
  options.min_p = 1;
  EXPECT_EQ(Support(options, kLogits), (std::set<TokenId>{2}));
  EXPECT_EQ(Support({}, kLogits), (std::set<TokenId>{0, 1, 2, 3}));
}

// Of more tokens than are sorted at first: 256 of weight 1 and 744 of weight .1 that top-k keeps, and
// some that it does not.
TEST(SamplerTest, TopPCountsAllThatTopKKeeps) {
  std::vector<float> logits(1100, std::log(0.05f));
  std::fill_n(logits.begin(), 256, 0.0f);
  std::fill_n(logits.begin() + 256, 744, std::log(0.1f));
  SamplerOptions options;
  options.temperature = 1;
  options.top_k = 1000;
  options.top_p = 0.7;  // of 330.4: 232 tokens
  const auto drawn = Make(options).Preview(logits, {}, 0);
  ASSERT_TRUE(drawn.ok());
  EXPECT_NEAR(drawn->probability, 1 / 232.0, 1e-9);
}

TEST(SamplerTest, RepetitionPenaltyPushesSeenTokensDown) {
  SamplerOptions options;
  options.temperature = 0;
  options.repetition_penalty = 2;
  const std::vector<TokenId> seen = {1, 1, 7};  // an id beyond the logits is passed over
  EXPECT_EQ(*Make(options).Sample(std::vector<float>{2.0f, 3.0f, 1.0f}, seen), 0);
  EXPECT_EQ(*Make(options).Sample(std::vector<float>{-2.0f, -1.5f, -9.0f}, seen), 0);
  EXPECT_EQ(*Make(options).Sample(std::vector<float>{2.0f, 4.5f, 1.0f}, seen), 1);
}

TEST(SamplerTest, TheSeedDecides) {
  SamplerOptions options;
  options.seed = 42;
  Sampler a = Make(options), b = Make(options);
  options.seed = 43;
  Sampler c = Make(options);
  int differs = 0;
  for (int i = 0; i < 200; ++i) {
    const TokenId id = *a.Sample(kLogits, {});
    EXPECT_EQ(id, *b.Sample(kLogits, {}));
    differs += id != *c.Sample(kLogits, {});
  }
  EXPECT_GT(differs, 50);
}

TEST(SamplerTest, LogitsThatAreNotFiniteAreAnError) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  for (const double temperature : {0.0, 1.0}) {
    SamplerOptions options;
    options.temperature = temperature;
    for (const auto& logits : {std::vector<float>{1, nan, 2}, std::vector<float>{1, inf, 2},
                               std::vector<float>{-inf, -inf}})
      EXPECT_EQ(Make(options).Sample(logits, {}).status().code(), StatusCode::kCorruption);
    // One token ruled out is no error.
    EXPECT_TRUE(Make(options).Sample(std::vector<float>{1, -inf, 2}, {}).ok());
    EXPECT_EQ(Make(options).Sample({}, {}).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(SamplerTest, OptionsOutOfRangeAreNamed) {
  const auto message = [](auto change) {
    SamplerOptions options;
    change(options);
    const auto sampler = Sampler::Make(options);
    return sampler.ok() ? std::string("accepted") : sampler.status().message();
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(message([](auto& o) { o.temperature = -1; }).find("temperature"), std::string::npos);
  EXPECT_NE(message([&](auto& o) { o.temperature = nan; }).find("temperature"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.top_p = 0; }).find("top-p"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.min_p = 1.5; }).find("min-p"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.repetition_penalty = 0; }).find("repetition"),
            std::string::npos);
}

}  // namespace
}  // namespace ingot::loader
