#include "model/source/hf/text_model.h"

#include <gtest/gtest.h>

#include <vector>

namespace ingot::model {
namespace {

Json TextOf(const Json& config) {
  auto text = TextConfig(config);
  EXPECT_TRUE(text.ok()) << text.status().message();
  return text.ok() && text->has_value() ? **text : Json();
}

TEST(TextModel, APlainModelHasNone) {
  EXPECT_EQ(TextOf({{"model_type", "llama"}, {"hidden_size", 8}}), Json());
  EXPECT_EQ(TextOf({{"model_type", "llama"}, {"text_config", nullptr}}), Json());
}

TEST(TextModel, OuterKeysAndDefaultsOfTheClass) {
  // LLaVA 1.5 says of its LLaMA only what is not LlamaConfig's default.
  const Json text = TextOf({{"model_type", "llava"},
                            {"tie_word_embeddings", false},
                            {"eos_token_id", 2},
                            {"torch_dtype", "float16"},
                            {"text_config",
                             {{"model_type", "llama"},
                              {"vocab_size", 32064},
                              {"rms_norm_eps", 1e-5},
                              {"max_position_embeddings", 4096}}}});
  EXPECT_EQ(text["model_type"], "llama");
  EXPECT_EQ(text["architectures"], Json({"LlamaForCausalLM"}));
  EXPECT_EQ(text["vocab_size"], 32064);
  EXPECT_EQ(text["hidden_size"], 4096);
  EXPECT_EQ(text["intermediate_size"], 11008);
  EXPECT_EQ(text["rms_norm_eps"], 1e-5);
  EXPECT_EQ(text["eos_token_id"], 2);
  EXPECT_EQ(text["tie_word_embeddings"], false);
  EXPECT_FALSE(text.contains("text_config"));
}

TEST(TextModel, Gemma3SaysLittle) {
  const Json text = TextOf({{"model_type", "gemma3"},
                            {"eos_token_id", {1, 106}},
                            {"text_config",
                             {{"hidden_size", 2560},
                              {"intermediate_size", 10240},
                              {"model_type", "gemma3_text"},
                              {"num_hidden_layers", 34},
                              {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                              {"sliding_window", 1024}}}});
  EXPECT_EQ(text["num_attention_heads"], 8);
  EXPECT_EQ(text["head_dim"], 256);
  EXPECT_EQ(text["num_hidden_layers"], 34);
  EXPECT_EQ(text["rope_scaling"]["factor"], 8.0);
  EXPECT_EQ(text["eos_token_id"], Json({1, 106}));
}

TEST(TextModel, SectionsOfPositionsGo) {
  const Json flat = TextOf({{"model_type", "qwen2_vl"},
                            {"hidden_size", 8},
                            {"vision_config", {{"depth", 1}}},
                            {"rope_scaling", {{"type", "mrope"}, {"mrope_section", {1, 1, 2}}}}});
  EXPECT_EQ(flat["model_type"], "qwen2");
  EXPECT_EQ(flat["rope_scaling"], Json({{"type", "default"}}));
  EXPECT_FALSE(flat.contains("vision_config"));
  const Json nested = TextOf({{"model_type", "qwen3_vl"},
                              {"text_config",
                               {{"model_type", "qwen3_vl_text"},
                                {"rope_scaling",
                                 {{"mrope_interleaved", true},
                                  {"mrope_section", {1, 1, 2}},
                                  {"rope_type", "default"}}}}}});
  EXPECT_EQ(nested["model_type"], "qwen3");
  EXPECT_EQ(nested["rope_scaling"], Json({{"rope_type", "default"}}));
}

TEST(TextModel, ATextWithoutATypeIsUnknown) {
  const auto text = TextConfig({{"model_type", "some_vl"}, {"text_config", {{"hidden_size", 8}}}});
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.status().message(),
            "config.json: 'text_config' has no 'model_type', so the text model is unknown");
}

TEST(TextModel, Names) {
  const std::vector<std::string> whole = {"language_model.model.norm.weight", "vision_tower.a"};
  const TextNames names(whole);
  const auto name = [&](const char* text) { return names.NameOf(text).value_or("-"); };
  EXPECT_EQ(name("language_model.model.layers.0.mlp.up_proj.weight"),
            "model.layers.0.mlp.up_proj.weight");
  EXPECT_EQ(name("language_model.lm_head.weight"), "lm_head.weight");
  EXPECT_EQ(name("model.language_model.embed_tokens.weight"), "model.embed_tokens.weight");
  EXPECT_EQ(name("model.text_model.norm.weight"), "model.norm.weight");
  EXPECT_EQ(name("lm_head.weight"), "lm_head.weight");
  EXPECT_EQ(name("model.vision_tower.layers.0.weight"), "-");
  EXPECT_EQ(name("multi_modal_projector.linear_1.weight"), "-");
  EXPECT_EQ(name("model.layers.0.a"), "-");  // another part's: the text model has its own prefix
  const std::vector<std::string> flat = {"model.norm.weight", "visual.a"};
  EXPECT_EQ(TextNames(flat).NameOf("model.layers.0.a"), "model.layers.0.a");
  EXPECT_EQ(TextNames(flat).NameOf("visual.a"), std::nullopt);
}

}  // namespace
}  // namespace ingot::model
