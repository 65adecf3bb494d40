#include "loader/cpu/alibi.h"

#include <gtest/gtest.h>

namespace ingot::loader {
namespace {

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
