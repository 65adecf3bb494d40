#include "loader/cpu/alibi.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ingot::loader {
namespace {

TEST(Alibi, SlopesOfThePaper) {
  // Eight heads: 1/2, 1/4, ... 1/256.
  for (std::size_t h = 0; h < 8; ++h)
    EXPECT_FLOAT_EQ(AlibiSlope(h, 8), std::ldexp(1.0f, -static_cast<int>(h + 1)));
  // Six heads: four of their own, then every other one of eight heads' slopes.
  EXPECT_FLOAT_EQ(AlibiSlope(0, 6), 0.25f);
  EXPECT_FLOAT_EQ(AlibiSlope(3, 6), 1.0f / 256);
  EXPECT_FLOAT_EQ(AlibiSlope(4, 6), 0.5f);
  EXPECT_FLOAT_EQ(AlibiSlope(5, 6), 0.125f);
}

TEST(Alibi, RoundedBiasesKeepEightBits) {
  RoundedAlibi biases;
  biases.Prepare(8, 0.5, 300);
  EXPECT_EQ(biases.Of(0)[3], 0.75f);    // 0.5 * (1/2 * 3)
  EXPECT_EQ(biases.Of(0)[256], 64.0f);  // exact
  EXPECT_EQ(biases.Of(0)[257], 64.0f);  // 257 has nine bits: to the even neighbour
  EXPECT_EQ(biases.Of(0)[259], 65.0f);  // 259 to 260
  EXPECT_EQ(biases.Of(7)[256], 0.5f);
  // More positions, or others heads, later.
  biases.Prepare(8, 0.5, 600);
  EXPECT_EQ(biases.Of(7)[512], 1.0f);
  EXPECT_EQ(biases.Of(7)[256], 0.5f);
  biases.Prepare(2, 1.0, 10);
  EXPECT_EQ(biases.Of(0)[4], 0.25f);  // slope 1/16
}

}  // namespace
}  // namespace ingot::loader
