#include "model/forward/position_terms.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ingot::model {
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
  EXPECT_EQ(RoundedAlibiBias(0.5f, 3), 1.5f);
  EXPECT_EQ(RoundedAlibiBias(0.5f, 257), 128.0f);  // 257 has nine bits: to the even neighbour
}

TEST(Rope, DynamicFrequenciesFallOnlyBeyondTheTrainedLength) {
  RopeSpec spec;
  spec.dims = 4;
  spec.inv_freq = {1.0, 0.01};
  EXPECT_FALSE(DependsOnLength(spec));
  spec.dynamic_factor = 2;
  spec.switch_length = 32;
  EXPECT_TRUE(DependsOnLength(spec));
  EXPECT_EQ(RopeFrequencies(spec, 32), (std::vector<float>{1.0f, 0.01f}));
  // Twice the length: base times (2 * 2 - 1) ^ (4 / 2), of which frequency i has the power -2i/4.
  const std::vector<float> longer = RopeFrequencies(spec, 64);
  EXPECT_EQ(longer[0], 1.0f);
  EXPECT_FLOAT_EQ(longer[1], 0.01f / 3);
}

TEST(Rope, LongFrequenciesAreThoseOfLongSequences) {
  RopeSpec spec;
  spec.dims = 2;
  spec.inv_freq = {1.0};
  spec.long_inv_freq = {0.5};
  spec.switch_length = 8;
  EXPECT_TRUE(DependsOnLength(spec));
  EXPECT_FALSE(UsesLongFrequencies(spec, 8));
  EXPECT_TRUE(UsesLongFrequencies(spec, 9));
  EXPECT_EQ(RopeFrequencies(spec, 9), std::vector<float>{0.5f});
  float row[2];
  RopeRow(spec, {0.5f}, 3, row);
  EXPECT_FLOAT_EQ(row[0], std::cos(1.5f));
  EXPECT_FLOAT_EQ(row[1], std::sin(1.5f));
}

}  // namespace
}  // namespace ingot::model
