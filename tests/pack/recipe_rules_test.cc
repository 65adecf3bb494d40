#include "pack/recipe_rules.h"

#include <gtest/gtest.h>

namespace ingot::pack {
namespace {

TEST(RecipeRules, ParsesEveryOption) {
  const auto rule = ParseRule("model.*.v_proj=int4_rtn:group=64,bits=8,levels=log,scales=q8");
  ASSERT_TRUE(rule.ok()) << rule.status().message();
  EXPECT_EQ(rule->glob, "model.*.v_proj");
  EXPECT_EQ(rule->recipe.codec, "int4_rtn");
  EXPECT_EQ(rule->recipe.group, 64);
  EXPECT_EQ(rule->recipe.bits, 8);
  EXPECT_EQ(rule->recipe.levels, "log");
  EXPECT_EQ(rule->recipe.scales, "q8");
  EXPECT_EQ(RecipeText(rule->recipe), "int4_rtn:group=64,bits=8,levels=log,scales=q8");
}

TEST(RecipeRules, RefusesWhatItCannotRead) {
  for (const char* text :
       {"", "=", "lm_head", "=int4_rtn", "lm_head=", "a=b:", "a=b:group",
        "a=b:group=", "a=b:group=x", "a=b:group=0", "a=b:group=-4", "a=b:group=4x",
        "a=b:group=99999999999999999999", "a=b:group=4,", "a=b:colour=red"}) {
    const auto rule = ParseRule(text);
    ASSERT_FALSE(rule.ok()) << text;
    EXPECT_EQ(rule.status().code(), StatusCode::kInvalidArgument) << text;
    EXPECT_NE(rule.status().message().find("rule '" + std::string(text) + "'"), std::string::npos);
  }
}

TEST(RecipeRules, GlobsCrossDotsAndMayLeaveOutTheSuffix) {
  EXPECT_TRUE(GlobMatches("lm_head", "lm_head.weight"));
  EXPECT_TRUE(GlobMatches("lm_head.weight", "lm_head.weight"));
  EXPECT_TRUE(GlobMatches("*v_proj", "model.layers.3.self_attn.v_proj.weight"));
  EXPECT_TRUE(GlobMatches("model.layers.[0-3].*", "model.layers.3.mlp.up_proj.weight"));
  EXPECT_FALSE(GlobMatches("model.layers.[0-3].*", "model.layers.13.mlp.up_proj.weight"));
  EXPECT_FALSE(GlobMatches("lm_head", "lm_head.bias"));
  EXPECT_FALSE(GlobMatches("head", "lm_head.weight"));
  EXPECT_FALSE(GlobMatches("v_proj", "model.layers.3.self_attn.v_proj.weight"));
}

TEST(RecipeRules, CoarseCodecsLeaveEmbeddingAndHeadAtEightBits) {
  codecs::RecipeOptions coarse;
  coarse.codec = "int4_rtn";
  coarse.group = 32;
  const RolePreset preset = CodecPreset(coarse);
  EXPECT_EQ(RecipeText(preset.linear), "int4_rtn:group=32");
  EXPECT_EQ(RecipeText(preset.embedding), "int8_rtn:group=32");
  EXPECT_EQ(RecipeText(preset.head), "int8_rtn:group=32");
  for (const char* codec : {"int8_rtn", "lossless_v1", "nested_v1", "fp8_hybrid_v1", "raw"}) {
    codecs::RecipeOptions fine;
    fine.codec = codec;
    EXPECT_EQ(CodecPreset(fine).embedding.codec, codec);
    EXPECT_EQ(CodecPreset(fine).head.codec, codec);
  }
}

TEST(RecipeRules, NestedEmbeddingAndHeadBeginWithEightBits) {
  const RolePreset preset = CodecPreset(*ParseRecipe("nested_v1:group=64"));
  EXPECT_EQ(RecipeText(preset.linear), "nested_v1:group=64");
  EXPECT_EQ(RecipeText(preset.embedding), "nested_v1:group=64,bits=8");
  EXPECT_EQ(RecipeText(preset.head), "nested_v1:group=64,bits=8");
}

TEST(RecipeRules, EveryTargetIsMadeOfCodecsThatExist) {
  for (const TargetInfo& target : Targets()) {
    const auto preset = TargetPreset(target.name);
    ASSERT_TRUE(preset.ok()) << target.name;
    for (const auto& recipe : {preset->linear, preset->embedding, preset->head})
      EXPECT_TRUE(codecs::MakeEncoder(recipe, 576, DType::kBf16).ok()) << RecipeText(recipe);
  }
  EXPECT_EQ(TargetPreset("huge").status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot::pack
