#include "pack/token_classes.h"

#include <gtest/gtest.h>

#include <vector>

#include "codecs/recipe.h"

namespace ingot::pack {
namespace {

std::array<int, 4> Of(const char* codec, DType dtype = DType::kBf16) {
  codecs::RecipeOptions options;
  options.codec = codec;
  const auto encoder = codecs::MakeEncoder(options, 256, dtype);
  EXPECT_TRUE(encoder.ok()) << codec;
  return PlanesByClass((*encoder)->planes());
}

TEST(TokenClasses, LevelsWithinEachClassesBits) {
  EXPECT_EQ(Of("nested_v1"), (std::array{1, 2, 3, 3}));
  EXPECT_EQ(Of("nested_v1", DType::kF32), (std::array{1, 2, 2, 3}));  // exact at 32 bits only
  EXPECT_EQ(Of("int4_residual_v1"), (std::array{1, 2, 2, 2}));
}

TEST(TokenClasses, OneLevelIsReadByAll) {
  for (const char* codec : {"int4_rtn", "int8_rtn", "raw"})
    EXPECT_EQ(Of(codec), (std::array{1, 1, 1, 1})) << codec;
  EXPECT_EQ(Of("fp8_hybrid_v1"), (std::array{2, 2, 2, 2}));  // outliers belong to the base
}

}  // namespace
}  // namespace ingot::pack
