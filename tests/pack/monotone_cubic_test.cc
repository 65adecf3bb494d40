#include "pack/monotone_cubic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace ingot::pack {
namespace {

TEST(MonotoneCubic, MeetsItsPointsAndIsALineThroughALine) {
  const std::vector<double> x = {-2, -0.5, 1, 4}, y = {3, 1.5, 0, -3};
  for (std::size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(MonotoneCubic(x, y, x[i]), y[i], 1e-14) << i;
  for (const double at : {-5.0, -1.7, 0.3, 2.9, 9.0})
    EXPECT_NEAR(MonotoneCubic(x, y, at), 1 - at, 1e-14) << at;
}

TEST(MonotoneCubic, NeverOvershoots) {
  const std::vector<double> x = {0, 1, 2, 3, 4, 7}, y = {0, 0, 0, 1, 1.01, 9};
  double last = 0;
  for (double at = 0; at <= 7; at += 0.01) {
    const double value = MonotoneCubic(x, y, at);
    EXPECT_GE(value, last - 1e-12) << at;
    last = value;
  }
  EXPECT_EQ(MonotoneCubic(x, y, 1.5), 0.0);
}

TEST(MonotoneCubic, IsNearerToACurveThanTheBrokenLine) {
  std::vector<double> x, y;
  for (int i = 0; i <= 8; ++i) {
    x.push_back(0.5 * i);
    y.push_back(std::exp(-x.back()));
  }
  double cubic = 0, broken = 0;
  for (double at = 0.5; at < 3.5; at += 0.01) {
    const int i = static_cast<int>(at / 0.5);
    const double t = (at - x[i]) / 0.5;
    cubic = std::max(cubic, std::fabs(MonotoneCubic(x, y, at) - std::exp(-at)));
    broken = std::max(broken, std::fabs((1 - t) * y[i] + t * y[i + 1] - std::exp(-at)));
  }
  EXPECT_LT(cubic, broken / 10);
}

TEST(MonotoneCubic, TwoPointsAreALine) {
  const std::vector<double> x = {1, 3}, y = {2, 8};
  EXPECT_DOUBLE_EQ(MonotoneCubic(x, y, 2), 5);
  EXPECT_DOUBLE_EQ(MonotoneCubic(x, y, 0), -1);
}

}  // namespace
}  // namespace ingot::pack
