// Weights too small for the format of their scales are kept or refused by name, never zeros in
// silence. (The entropy codecs have steps, not scales, of their own range; that a slab comes to
// nothing is refused where it is packed.)
#include "codecs/rounding/scale_range.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "codecs/plane_codec.h"
#include "codecs/recipe.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

constexpr std::uint64_t kRows = 24, kCols = 256;

std::vector<float> Weights(float factor) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 0.3f);
  std::vector<float> w(kRows * kCols);
  for (float& x : w) x = normal(random) * factor;
  return w;
}

// The relative error of rows [begin, kRows) after a recipe, or its refusal.
Result<double> ErrorOf(const RecipeOptions& options, const std::vector<float>& w,
                       std::uint64_t begin) {
  auto encoder = MakeEncoder(options, kCols, DType::kF32);
  EXPECT_TRUE(encoder.ok()) << encoder.status().message();
  const WeightSlab slab{
      DType::kF32, kRows, kCols, {reinterpret_cast<const std::uint8_t*>(w.data()), w.size() * 4}};
  INGOT_ASSIGN(const EncodedSlab encoded, (*encoder)->EncodeSlab(slab));
  std::vector<float> out(w.size());
  const auto views = ViewsOf((*encoder)->planes(), encoded, kRows, kCols);
  INGOT_TRY(DecodeTensorRows(views, 0, kRows, out));
  double error = 0, sum = 0;
  for (std::size_t i = begin * kCols; i < w.size(); ++i) {
    error += std::pow(static_cast<double>(out[i]) - w[i], 2);
    sum += std::pow(static_cast<double>(w[i]), 2);
  }
  return std::sqrt(error / sum);
}

TEST(ScaleRange, EveryRecipeKeepsOrRefusesSmallWeights) {
  int kept = 0, refused = 0;
  for (const Recipe& recipe : Recipes()) {
    if (recipe.name.starts_with("entropy")) continue;
    RecipeOptions options;
    options.codec = recipe.name;
    const auto usual = ErrorOf(options, Weights(1), 0);
    ASSERT_TRUE(usual.ok()) << recipe.name << ": " << usual.status().message();
    for (const float factor : {0x1p-8f, 0x1p-14f, 0x1p-20f, 0x1p-26f, 0x1p-32f}) {
      const auto error = ErrorOf(options, Weights(factor), 0);
      if (!error.ok()) {
        ++refused;
        EXPECT_EQ(error.status().code(), StatusCode::kInvalidArgument);
        const std::string& message = error.status().message();
        EXPECT_TRUE(message.starts_with("row ")) << message;
        EXPECT_NE(message.find(": needs a scale of "), std::string::npos) << message;
        EXPECT_NE(message.find("below what fp16 holds"), std::string::npos) << message;
        EXPECT_LT(factor, 0x1p-13f) << recipe.name;
        continue;
      }
      ++kept;
      EXPECT_LT(*error, 2 * *usual + 0.05) << recipe.name << " at " << factor;
    }
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(refused, 0);
}

// Under a row scale of fp16, i8 scales reach as far down as fp16's own.
TEST(ScaleRange, RowScalesAreRoundedUpWhereTheyWouldBeLost) {
  for (const float wanted : {1e-4f, 1e-6f, 1e-7f, 6e-8f, 3e-8f, 1e-9f}) {
    const float stored = FromFp16(RowScale(wanted));
    EXPECT_GT(stored, 0) << wanted;
    EXPECT_GE(stored * 127, 127 * wanted * 0.75f) << wanted;
  }
  RecipeOptions options;
  options.codec = "int8_rtn";
  options.scales = std::string("q8");
  for (const float factor : {0x1p-10f, 0x1p-13f, 0x1p-14f}) {
    const auto error = ErrorOf(options, Weights(factor), 0);
    ASSERT_TRUE(error.ok()) << error.status().message();
    EXPECT_LT(*error, 0.05) << factor;
  }
}

// Rows of tokens that were never trained lie far below what anything makes up for.
TEST(ScaleRange, DeadRowsAreZeros) {
  for (const Recipe& recipe : Recipes()) {
    RecipeOptions options;
    options.codec = recipe.name;
    std::vector<float> w = Weights(1);
    for (std::uint64_t i = 0; i < 2 * kCols; ++i) w[i] *= 1e-22f;
    const auto usual = ErrorOf(options, Weights(1), 2);
    const auto error = ErrorOf(options, w, 2);
    ASSERT_TRUE(usual.ok());
    ASSERT_TRUE(error.ok()) << recipe.name << ": " << error.status().message();
    EXPECT_LT(*error, 1.2 * *usual + 1e-6) << recipe.name;
  }
}

TEST(ScaleRange, NamesTheRowThatIsTooSmall) {
  RecipeOptions options;
  options.codec = "int8_rtn";
  std::vector<float> w = Weights(1);
  for (std::uint64_t i = 5 * kCols; i < 6 * kCols; ++i) w[i] *= 0x1p-22f;
  const auto error = ErrorOf(options, w, 0);
  ASSERT_FALSE(error.ok());
  EXPECT_TRUE(error.status().message().starts_with("row 5: needs a scale of "))
      << error.status().message();
}

}  // namespace
}  // namespace ingot::codecs
