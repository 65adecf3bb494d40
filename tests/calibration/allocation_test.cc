#include "calibration/allocation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace ingot::calibration {
namespace {

std::vector<Candidates> RandomTensors(unsigned seed, std::size_t tensors, std::size_t candidates) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<Candidates> all(tensors);
  for (Candidates& list : all) {
    const double scale = uniform(random) * 10;
    for (std::size_t i = 0; i < candidates; ++i)
      list.push_back({std::floor(100 * (1 + uniform(random) + static_cast<double>(i))),
                      scale * std::pow(4.0, -static_cast<double>(i)) * (0.5 + uniform(random))});
  }
  return all;
}

double Sum(const std::vector<Candidates>& tensors, const Allocation& a, double Candidate::*field) {
  double sum = 0;
  for (std::size_t t = 0; t < tensors.size(); ++t) sum += tensors[t][a.choice[t]].*field;
  return sum;
}

// The least loss over every combination.
double Exhaustive(const std::vector<Candidates>& tensors, double budget, std::size_t t = 0) {
  if (t == tensors.size()) return 0;
  double best = HUGE_VAL;
  for (const Candidate& c : tensors[t])
    if (c.bytes <= budget)
      best = std::min(best, c.loss + Exhaustive(tensors, budget - c.bytes, t + 1));
  return best;
}

TEST(Allocation, KeepsItsBudgetAndItsSums) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const auto tensors = RandomTensors(seed, 20, 6);
    const double smallest = AllocateAtPrice(tensors, HUGE_VAL).bytes;
    for (const double factor : {1.0, 1.3, 2.0, 3.0, 10.0}) {
      const auto a = AllocateBytes(tensors, smallest * factor);
      ASSERT_TRUE(a.ok());
      EXPECT_LE(a->bytes, smallest * factor);
      EXPECT_NEAR(a->bytes, Sum(tensors, *a, &Candidate::bytes), 1e-6);
      EXPECT_NEAR(a->loss, Sum(tensors, *a, &Candidate::loss), 1e-9);
    }
  }
}

// A hull's optimum lies between the exhaustive one at the budget and at the bytes it really spent.
TEST(Allocation, IsOptimalForTheBytesOfEveryPrice) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    const auto tensors = RandomTensors(seed, 5, 4);
    for (const double price : {1e-4, 1e-3, 1e-2, 1e-1}) {
      const Allocation a = AllocateAtPrice(tensors, price);
      EXPECT_NEAR(a.loss, Exhaustive(tensors, a.bytes), 1e-9);
    }
    const auto a = AllocateBytes(tensors, 1500);
    ASSERT_TRUE(a.ok());
    EXPECT_GE(a->loss, Exhaustive(tensors, 1500) - 1e-9);
  }
}

TEST(Allocation, LossBudgetTakesNoMoreThanNeeded) {
  const auto tensors = RandomTensors(3, 30, 6);
  const Allocation best = AllocateAtPrice(tensors, 0);
  const auto a = AllocateLoss(tensors, best.loss * 4);
  ASSERT_TRUE(a.ok());
  EXPECT_LE(a->loss, best.loss * 4);
  EXPECT_LT(a->bytes, best.bytes);
  // One step less would lose too much.
  const Allocation less = AllocateAtPrice(tensors, a->price * (1 + 1e-9));
  EXPECT_GT(less.loss, best.loss * 4);
  EXPECT_FALSE(AllocateLoss(tensors, best.loss * 0.5).ok());
}

TEST(Allocation, NamesWhatIsPossible) {
  const std::vector<Candidates> tensors = {{{100, 1}, {200, 0.5}}, {{50, 1}}};
  const auto a = AllocateBytes(tensors, 149);
  EXPECT_EQ(a.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(a.status().message().find("150"), std::string::npos);
  EXPECT_TRUE(AllocateBytes(tensors, 150).ok());
}

TEST(Allocation, IgnoresWhatLosesMoreForMoreBytes) {
  const std::vector<Candidates> tensors = {{{100, 1}, {150, 2}, {200, 0.1}, {200, 0.2}}};
  EXPECT_EQ(AllocateAtPrice(tensors, 0).choice[0], 2u);
  EXPECT_EQ(AllocateBytes(tensors, 160)->choice[0], 0u);
}

}  // namespace
}  // namespace ingot::calibration
