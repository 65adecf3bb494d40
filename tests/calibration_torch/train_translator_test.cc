// Translators, held against the map that the pairs were made with.
#include "calibration/torch/train_translator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"

namespace ingot::calibration {
namespace {

constexpr std::size_t kWidth = 12, kCount = 600, kHeld = 150;

// Last states are x + up (down x) + bias with down and up of rank 2, and noise.
struct Pairs {
  explicit Pairs(double noise) {
    Random random(9);
    std::vector<double> down(2 * kWidth), up(2 * kWidth), bias(kWidth);
    for (auto* values : {&down, &up, &bias})
      for (double& v : *values) v = random.Normal();
    for (std::size_t e = 0; e < kCount; ++e) {
      std::vector<double> x(kWidth);
      for (double& v : x) v = random.Normal();
      double low[2] = {};
      for (std::size_t r = 0; r < 2; ++r)
        for (std::size_t i = 0; i < kWidth; ++i) low[r] += down[r * kWidth + i] * x[i];
      for (std::size_t i = 0; i < kWidth; ++i) {
        states.push_back(static_cast<float>(x[i]));
        last.push_back(static_cast<float>(x[i] + up[i] * low[0] + up[kWidth + i] * low[1] +
                                          bias[i] + noise * random.Normal()));
      }
    }
  }
  TranslatorExamples examples() const { return {kWidth, states, last, weights, kHeld}; }
  std::vector<float> states, last, weights = std::vector<float>(kWidth, 1.0f);
};

double ErrorOf(const Pairs& pairs, const TrainedTranslator& t) {
  double sum = 0;
  for (std::size_t e = kCount - kHeld; e < kCount; ++e)
    for (std::size_t i = 0; i < kWidth; ++i) {
      double said = double{pairs.states[e * kWidth + i]} + t.bias[i];
      for (std::size_t r = 0; r < t.rank; ++r) {
        double low = 0;
        for (std::size_t k = 0; k < kWidth; ++k)
          low += double{t.down[r * kWidth + k]} * pairs.states[e * kWidth + k];
        said += t.up[i * t.rank + r] * low;
      }
      sum += std::pow(said - double{pairs.last[e * kWidth + i]}, 2);
    }
  return sum / (kHeld * kWidth);
}

TEST(TrainTranslator, FindsAMapOfItsRank) {
  const Pairs pairs(0.01);
  const auto two = TrainTranslator(pairs.examples(), 2), one = TrainTranslator(pairs.examples(), 1);
  ASSERT_TRUE(two.ok() && one.ok());
  EXPECT_EQ(two->rank, 2u);
  EXPECT_NEAR(ErrorOf(pairs, *two), two->error, 1e-4 * (1 + two->error));
  EXPECT_LT(two->error, 0.001);
  EXPECT_GT(one->error, 10 * two->error);
  EXPECT_GT(two->identity_error, 1);
  // No more than there are values.
  EXPECT_EQ(TrainTranslator(pairs.examples(), 100)->rank, kWidth);
  // The same inputs give the same bytes.
  EXPECT_EQ(TrainTranslator(pairs.examples(), 2)->down, two->down);
}

// The one direction there is goes where the weights are.
TEST(TrainTranslator, ValuesCountAsTheyAreWeighed) {
  Pairs pairs(0.01);
  const auto even = TrainTranslator(pairs.examples(), 1);
  pairs.weights.assign(kWidth, 0.01f);
  pairs.weights[3] = 1;
  const auto weighed = TrainTranslator(pairs.examples(), 1);
  ASSERT_TRUE(even.ok() && weighed.ok());
  EXPECT_LT(weighed->error, 0.01 * weighed->identity_error);
  EXPECT_LT(ErrorOf(pairs, *even), ErrorOf(pairs, *weighed));
}

TEST(TrainTranslator, WhatCannotBeIsRefused) {
  Pairs pairs(0);
  TranslatorExamples none = pairs.examples();
  none.held_out = 0;
  EXPECT_EQ(TrainTranslator(none, 2).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(TrainTranslator(pairs.examples(), 0).status().code(), StatusCode::kInvalidArgument);
  pairs.last[7] = std::numeric_limits<float>::infinity();
  EXPECT_NE(TrainTranslator(pairs.examples(), 2).status().message().find("finite"),
            std::string::npos);
}

}  // namespace
}  // namespace ingot::calibration
