// Descriptions of encoders, and configurations that do not fit.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "model/architecture/architecture.h"

namespace ingot::model {
namespace {

using Names = std::set<std::string, std::less<>>;

Json BertConfig(const Json& changes = Json::object()) {
  Json config = {{"model_type", "bert"},     {"vocab_size", 97},
                 {"hidden_size", 30},        {"num_hidden_layers", 2},
                 {"num_attention_heads", 3}, {"intermediate_size", 50},
                 {"type_vocab_size", 2},     {"max_position_embeddings", 70}};
  config.update(changes);
  return config;
}

Result<Architecture> Build(const Json& config, const Names& has) {
  return BuildArchitecture(config, [&](std::string_view name) { return has.contains(name); });
}

const Names kBert = {"bert.embeddings.word_embeddings.weight",
                     "cls.predictions.transform.dense.weight", "cls.predictions.bias"};

std::string MessageOf(const Json& config, const Names& has = kBert) {
  const auto built = Build(config, has);
  return built.ok() ? "accepted" : built.status().message();
}

TEST(EncoderFamily, Bert) {
  const auto a = Build(BertConfig(), kBert);
  ASSERT_TRUE(a.ok()) << a.status().message();
  EXPECT_TRUE(a->masked);
  EXPECT_EQ(a->position_offset, 0u);
  EXPECT_EQ(a->segments, 2u);
  EXPECT_EQ(a->segment_embedding, "bert.embeddings.token_type_embeddings.weight");
  EXPECT_EQ(a->head.weight, a->embedding);
  EXPECT_EQ(a->head.bias, "cls.predictions.bias");
  EXPECT_FALSE(a->final_norm.present());
  ASSERT_EQ(a->layers.size(), 2u);
  const LayerSpec& layer = a->layers[1];
  EXPECT_EQ(layer.residual, ResidualKind::kPostNorm);
  EXPECT_FALSE(layer.attention.causal);
  EXPECT_EQ(layer.attention.q.weight, "bert.encoder.layer.1.attention.self.query.weight");
  EXPECT_EQ(layer.attention.q.bias, "bert.encoder.layer.1.attention.self.query.bias");
  EXPECT_EQ(layer.post_mixer_norm.eps, 1e-12);
  EXPECT_EQ(layer.mlp.down.weight, "bert.encoder.layer.1.output.dense.weight");
}

TEST(EncoderFamily, OldNamesNoPrefixOwnDecoder) {
  const auto a = Build(
      BertConfig(), {"embeddings.word_embeddings.weight", "cls.predictions.transform.dense.weight",
                     "cls.predictions.decoder.weight", "cls.predictions.decoder.bias",
                     "cls.predictions.bias", "embeddings.LayerNorm.gamma"});
  ASSERT_TRUE(a.ok()) << a.status().message();
  EXPECT_EQ(a->embedding_norm.weight, "embeddings.LayerNorm.gamma");
  EXPECT_EQ(a->embedding_norm.bias, "embeddings.LayerNorm.beta");
  EXPECT_EQ(a->layers[0].attention.o.weight, "encoder.layer.0.attention.output.dense.weight");
  EXPECT_EQ(a->head.weight, "cls.predictions.decoder.weight");
  EXPECT_EQ(a->head.bias, "cls.predictions.decoder.bias");
}

TEST(EncoderFamily, RobertaCountsFromBehindThePaddingToken) {
  const auto a =
      Build(BertConfig({{"model_type", "roberta"},
                        {"pad_token_id", 1},
                        {"max_position_embeddings", 66},
                        {"hidden_act", "relu"}}),
            {"roberta.embeddings.word_embeddings.weight", "lm_head.dense.weight", "lm_head.bias"});
  ASSERT_TRUE(a.ok()) << a.status().message();
  EXPECT_EQ(a->position_offset, 2u);
  EXPECT_EQ(a->max_positions, 64u);
  EXPECT_EQ(a->head.bias, "lm_head.bias");
  EXPECT_EQ(a->head_activation, Activation::kGelu);
  EXPECT_EQ(a->layers[0].mlp.activation, Activation::kRelu);
}

TEST(EncoderFamily, PretrainingsOtherHeadIsLeftOut) {
  const auto a = Build(BertConfig(), kBert);
  ASSERT_TRUE(a.ok());
  std::vector<TensorInfo> tensors;
  for (const TensorUse& use : TensorUses(*a)) {
    TensorInfo info;
    info.name = use.name;
    info.shape = use.shape;
    tensors.push_back(info);
  }
  for (const char* name : {"bert.pooler.dense.weight", "bert.pooler.dense.bias",
                           "cls.seq_relationship.weight", "bert.embeddings.position_ids"}) {
    TensorInfo info;
    info.name = name;
    tensors.push_back(info);
  }
  EXPECT_TRUE(CheckTensors(*a, tensors, false).ok());
  TensorInfo unknown;
  unknown.name = "bert.encoder.layer.0.adapter.weight";
  unknown.file = "model.safetensors";
  tensors.push_back(unknown);
  EXPECT_NE(CheckTensors(*a, tensors, false).message().find("adapter"), std::string::npos);
}

TEST(EncoderFamily, RefusesWhatDoesNotFit) {
  EXPECT_NE(MessageOf(BertConfig({{"num_attention_heads", 4}})).find("'num_attention_heads' 4"),
            std::string::npos);
  EXPECT_NE(MessageOf(BertConfig({{"is_decoder", true}})).find("'is_decoder'"), std::string::npos);
  EXPECT_NE(
      MessageOf(BertConfig({{"position_embedding_type", "relative_key"}})).find("relative_key"),
      std::string::npos);
  EXPECT_NE(MessageOf(BertConfig({{"hidden_act", "mish"}})).find("mish"), std::string::npos);
  EXPECT_NE(MessageOf(BertConfig({{"layer_norm_eps", 0}})).find("layer_norm_eps"),
            std::string::npos);
  EXPECT_NE(MessageOf(BertConfig(), {"bert.embeddings.word_embeddings.weight"})
                .find("without a masked-LM head"),
            std::string::npos);
  EXPECT_NE(MessageOf(BertConfig({{"model_type", "roberta"},
                                  {"pad_token_id", 69},
                                  {"max_position_embeddings", 70}}),
                      {"lm_head.dense.weight"})
                .find("'pad_token_id' 69"),
            std::string::npos);
  const Json distil = {{"model_type", "distilbert"}, {"vocab_size", 40}, {"dim", 30}, {"n_heads", 4},
                       {"hidden_dim", 64}, {"n_layers", 1}};
  EXPECT_NE(MessageOf(distil, {"vocab_transform.weight"}).find("'dim' 30"), std::string::npos);
}

}  // namespace
}  // namespace ingot::model
