#include "model/source/hf/mamba_ssm_config.h"

#include <gtest/gtest.h>

namespace ingot::model {
namespace {

Json Converted(const Json& config) {
  auto converted = FromMambaSsmConfig(config);
  EXPECT_TRUE(converted.ok()) << converted.status().message();
  return converted.ok() && converted->has_value() ? **converted : Json();
}

// state-spaces/mamba-130m
TEST(MambaSsmConfig, TheFirst) {
  const Json config = Converted({{"d_model", 768},
                                 {"n_layer", 24},
                                 {"vocab_size", 50277},
                                 {"ssm_cfg", Json::object()},
                                 {"rms_norm", true},
                                 {"residual_in_fp32", true},
                                 {"fused_add_norm", true},
                                 {"pad_vocab_size_multiple", 8}});
  EXPECT_EQ(config["model_type"], "mamba");
  EXPECT_EQ(config["hidden_size"], 768);
  EXPECT_EQ(config["intermediate_size"], 1536);
  EXPECT_EQ(config["num_hidden_layers"], 24);
  EXPECT_EQ(config["vocab_size"], 50280);
  EXPECT_EQ(config["state_size"], 16);
  EXPECT_EQ(config["tie_word_embeddings"], true);
}

// state-spaces/mamba2-130m
TEST(MambaSsmConfig, TheSecond) {
  const Json config = Converted({{"d_model", 768},
                                 {"d_intermediate", 0},
                                 {"n_layer", 24},
                                 {"vocab_size", 50277},
                                 {"ssm_cfg", {{"layer", "Mamba2"}}},
                                 {"attn_layer_idx", Json::array()},
                                 {"attn_cfg", Json::object()},
                                 {"rms_norm", true},
                                 {"pad_vocab_size_multiple", 16},
                                 {"tie_embeddings", true}});
  EXPECT_EQ(config["model_type"], "mamba2");
  EXPECT_EQ(config["num_heads"], 24);
  EXPECT_EQ(config["head_dim"], 64);
  EXPECT_EQ(config["n_groups"], 1);
  EXPECT_EQ(config["state_size"], 128);
  EXPECT_EQ(config["vocab_size"], 50288);
}

TEST(MambaSsmConfig, OthersAreLeftAlone) {
  EXPECT_EQ(Converted({{"model_type", "mamba"}, {"d_model", 8}, {"n_layer", 1}}), Json());
  EXPECT_EQ(Converted({{"d_model", 8}}), Json());
}

TEST(MambaSsmConfig, NamesWhatIsNotDone) {
  const std::pair<Json, const char*> cases[] = {
      {{{"attn_layer_idx", {1}}},
       "config.json: 'attn_layer_idx' asks for attention layers, which are not supported in a "
       "Mamba "
       "of the original implementation"},
      {{{"rms_norm", false}}, "config.json: 'rms_norm' is false: LayerNorm is not supported"},
      {{{"ssm_cfg", {{"layer", "Mamba3"}}}},
       "config.json: ssm_cfg's 'layer' is not Mamba1 or Mamba2"},
      {{{"d_model", -1}}, "config.json: 'd_model' is not a whole number from 1 to 16777216"},
      {{{"ssm_cfg", {{"layer", "Mamba2"}, {"headdim", 7}}}},
       "config.json: 16 channels do not divide into heads of 7"},
  };
  for (const auto& [extra, message] : cases) {
    Json config = {{"d_model", 8}, {"n_layer", 1}};
    config.update(extra);
    const auto converted = FromMambaSsmConfig(config);
    ASSERT_FALSE(converted.ok()) << message;
    EXPECT_EQ(converted.status().message(), message);
  }
}

}  // namespace
}  // namespace ingot::model
