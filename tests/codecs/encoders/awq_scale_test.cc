#include "codecs/encoders/awq_scale.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"
#include "codecs/planes/transform.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

constexpr std::uint64_t kRows = 80, kCols = 96;

PlaneSpec Int3() {
  PlaneSpec spec{"int", {}, 0};
  spec.attributes["bits"] = std::int64_t{3};
  spec.attributes["group"] = std::int64_t{32};
  spec.attributes["levels"] = "symmetric";
  spec.attributes["scales"] = "f16";
  return spec;
}

// Inputs of which every 12th is forty times larger.
struct Statistics {
  std::vector<float> weights = SampleWeights(kRows, kCols, 1);
  std::vector<float> mean_abs = std::vector<float>(kCols);
  std::vector<float> hessian = std::vector<float>(kCols * kCols);
  std::vector<float> fisher = std::vector<float>(kRows);

  Statistics() {
    Random random(3);
    constexpr int kSamples = 400;
    std::vector<float> x(kCols);
    for (int s = 0; s < kSamples; ++s) {
      for (std::uint64_t j = 0; j < kCols; ++j)
        x[j] = static_cast<float>(random.Normal() * (j % 12 == 5 ? 40 : 1));
      for (std::uint64_t j = 0; j < kCols; ++j) mean_abs[j] += std::fabs(x[j]) / kSamples;
      for (std::uint64_t i = 0; i < kCols * kCols; ++i)
        hessian[i] += x[i / kCols] * x[i % kCols] / kSamples;
    }
    for (float& f : fisher) f = static_cast<float>(0.1 + random.Uniform());
  }
  TensorGuide guide() const {
    TensorGuide guide;
    guide.rows = kRows;
    guide.cols = kCols;
    guide.hessian = hessian;
    guide.mean_abs = mean_abs;
    guide.row_fisher = fisher;
    return guide;
  }
};

TEST(AwqScale, HalvesTheErrorWhereAFewInputsAreLarge) {
  const Statistics s;
  const auto found = FindAwqScales(s.weights, s.guide(), Int3());
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_GT(found->alpha, 0.1);
  EXPECT_LT(found->loss, 0.5 * found->plain_loss);
  EXPECT_GT(found->loss, 0.02 * found->plain_loss);
  ASSERT_EQ(found->scales.size(), kCols);
  EXPECT_LT(found->scales[5], found->scales[6]);
  const std::vector<std::uint8_t> stream = ColumnScaleStream(found->scales);
  EXPECT_EQ(ToFloats(DType::kF16, stream), found->scales);
  const auto [least, most] = std::minmax_element(found->scales.begin(), found->scales.end());
  EXPECT_NEAR(*least * *most, 1, 0.002);
}

TEST(AwqScale, DoesNotDependOnThreads) {
  const Statistics s;
  const auto many = FindAwqScales(s.weights, s.guide(), Int3());
  SetThreads(1);
  const auto one = FindAwqScales(s.weights, s.guide(), Int3());
  SetThreads(0);
  ASSERT_TRUE(many.ok() && one.ok());
  EXPECT_EQ(many->scales, one->scales);
  EXPECT_EQ(many->loss, one->loss);
}

TEST(AwqScale, LivesOnWhatThereIs) {
  const Statistics s;
  TensorGuide guide = s.guide();
  guide.hessian = {};
  const auto diagonal = FindAwqScales(s.weights, guide, Int3());
  ASSERT_TRUE(diagonal.ok());
  EXPECT_LT(diagonal->loss, 0.5 * diagonal->plain_loss);
  std::vector<float> squares(kCols);
  for (std::uint64_t j = 0; j < kCols; ++j) squares[j] = s.hessian[j * kCols + j];
  guide.diagonal = squares;
  guide.mean_abs = {};
  const auto squared = FindAwqScales(s.weights, guide, Int3());
  ASSERT_TRUE(squared.ok());
  EXPECT_LT(squared->loss, 0.5 * squared->plain_loss);
  guide = s.guide();
  guide.mean_abs = {};
  guide.row_fisher = {};
  ASSERT_TRUE(FindAwqScales(s.weights, guide, Int3()).ok());
  guide.hessian = {};
  const auto nothing = FindAwqScales(s.weights, guide, Int3());
  ASSERT_TRUE(nothing.ok());
  EXPECT_EQ(nothing->scales, std::vector<float>(kCols, 1.0f));
}

TEST(AwqScale, RefusesStatisticsThatDoNotFit) {
  Statistics s;
  TensorGuide guide = s.guide();
  guide.rows = kRows - 1;
  EXPECT_FALSE(FindAwqScales(s.weights, guide, Int3()).ok());
  guide = s.guide();
  guide.mean_abs = guide.mean_abs.first(kCols - 1);
  EXPECT_FALSE(FindAwqScales(s.weights, guide, Int3()).ok());
  guide = s.guide();
  guide.hessian = guide.hessian.first(kCols);
  EXPECT_FALSE(FindAwqScales(s.weights, guide, Int3()).ok());
  for (const float bad : {NAN, INFINITY, -1.0f}) {
    s.mean_abs[7] = bad;
    EXPECT_FALSE(FindAwqScales(s.weights, s.guide(), Int3()).ok());
  }
  std::fill(s.mean_abs.begin(), s.mean_abs.end(), 0.0f);
  const auto dead = FindAwqScales(s.weights, s.guide(), Int3());
  ASSERT_TRUE(dead.ok());
  EXPECT_EQ(dead->scales, std::vector<float>(kCols, 1.0f));
}

}  // namespace
}  // namespace ingot::codecs
