#include "calibration/torch/train_router.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"
#include "base/random.h"

namespace ingot::calibration {
namespace {

// States and a number that is a curved function of them, with noise.
struct Data {
  std::size_t width = 16;
  std::vector<float> states, targets;

  Data(std::size_t count, bool classify, std::uint64_t seed = 1) {
    Random random(seed);
    for (std::size_t i = 0; i < count; ++i) {
      double sum = 0;
      for (std::size_t k = 0; k < width; ++k) {
        const double x = random.Normal();
        states.push_back(static_cast<float>(x));
        sum += k < 4 ? x : 0;
      }
      const double y = std::abs(sum) + 0.1 * random.Normal();
      targets.push_back(static_cast<float>(classify ? y > 3 : y));
    }
  }
  RouterExamples Examples(std::size_t held_out) const { return {width, states, targets, held_out}; }
};

TEST(TrainRouterTest, LearnsANumber) {
  const Data data(4000, false);
  RouterOptions options;
  options.hidden = 32;
  const auto router = TrainRouter(data.Examples(1000), options);
  ASSERT_TRUE(router.ok()) << router.status().message();
  EXPECT_LT(router->loss, 0.15 * router->constant_loss);
  ASSERT_EQ(router->up.size(), 32 * data.width);
  ASSERT_EQ(router->down.size(), 32u);
  ASSERT_EQ(router->held_out.size(), 1000u);
  // What it says is down(silu(up x)).
  for (std::size_t i = 0; i < 1000; i += 97) {
    const float* x = &data.states[(3000 + i) * data.width];
    double said = 0;
    for (std::size_t h = 0; h < 32; ++h) {
      double inner = 0;
      for (std::size_t k = 0; k < data.width; ++k)
        inner += double{router->up[h * data.width + k]} * x[k];
      said += router->down[h] * inner / (1 + std::exp(-inner));
    }
    EXPECT_NEAR(router->held_out[i], said, 1e-4);
  }
}

TEST(TrainRouterTest, LearnsARareClass) {
  const Data data(4000, true);
  RouterOptions options;
  options.hidden = 32;
  options.classify = true;
  const auto router = TrainRouter(data.Examples(1000), options);
  ASSERT_TRUE(router.ok()) << router.status().message();
  EXPECT_LT(router->loss, 0.5 * router->constant_loss);
  // Both classes are told: a router of unbalanced classes says "none" and is mostly right.
  std::size_t ones = 0, right = 0;
  for (std::size_t i = 0; i < 1000; ++i)
    if (data.targets[3000 + i] == 1) {
      ++ones;
      right += router->held_out[i] > 0 ? 1 : 0;
    }
  EXPECT_LT(ones, 250u);
  EXPECT_GT(right, ones * 8 / 10);
}

TEST(TrainRouterTest, TheSeedDecidesAndThreadsDoNot) {
  const Data data(900, false);
  RouterOptions options;
  options.hidden = 8;
  options.epochs = 3;
  SetThreads(1);
  const auto one = TrainRouter(data.Examples(200), options);
  SetThreads(4);
  const auto many = TrainRouter(data.Examples(200), options);
  SetThreads(0);
  options.seed = 2;
  const auto other = TrainRouter(data.Examples(200), options);
  EXPECT_EQ(one->up, many->up);
  EXPECT_EQ(one->down, many->down);
  EXPECT_NE(one->up, other->up);
}

TEST(TrainRouterTest, NoiseEndsEarly) {
  // Nothing to learn: what is kept is no worse on held-out examples than the first epochs were.
  Data data(600, false);
  Random random(9);
  for (float& y : data.targets) y = static_cast<float>(random.Normal());
  RouterOptions options;
  options.epochs = 200;
  const auto router = TrainRouter(data.Examples(300), options);
  ASSERT_TRUE(router.ok());
  EXPECT_LT(router->loss, 1.3 * router->constant_loss);
}

TEST(TrainRouterTest, WhatCannotBeLearnedIsRefused) {
  Data data(100, true);
  RouterOptions options;
  options.classify = true;
  EXPECT_EQ(TrainRouter(data.Examples(0), options).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(TrainRouter(data.Examples(100), options).status().code(), StatusCode::kInvalidArgument);
  for (float& y : data.targets) y = 1;
  EXPECT_NE(TrainRouter(data.Examples(20), options).status().message().find("always the same"),
            std::string::npos);
  data.states[5] = NAN;
  EXPECT_NE(TrainRouter(data.Examples(20), {}).status().message().find("not finite"),
            std::string::npos);
}

}  // namespace
}  // namespace ingot::calibration
