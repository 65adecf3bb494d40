// Descriptions of state-space, retention and hybrid models, and configs that do not make one.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/architecture/architecture.h"
#include "model/text/json_text.h"

namespace ingot::model {
namespace {

Json Config(const std::string& model_type, const Json& extra = Json::object()) {
  Json config = {{"model_type", model_type}, {"hidden_size", 64},        {"intermediate_size", 96},
                 {"num_hidden_layers", 4},   {"num_attention_heads", 8}, {"num_key_value_heads", 2},
                 {"vocab_size", 100}};
  if (model_type.find("mamba") != std::string::npos && model_type != "bamba")
    config.erase("intermediate_size");
  if (model_type == "mamba2") config.update({{"num_heads", 16}, {"head_dim", 8}});
  if (model_type == "bamba") config.update({{"mamba_n_heads", 16}});
  config.update(extra);
  return config;
}

Result<Architecture> Build(const Json& config) {
  return BuildArchitecture(config, [](std::string_view) { return false; });
}

Architecture MustBuild(const Json& config) {
  auto built = Build(config);
  EXPECT_TRUE(built.ok()) << built.status().message();
  return built.ok() ? *built : Architecture();
}

void ExpectRefused(const Json& config, StatusCode code, const std::string& says) {
  const auto built = Build(config);
  ASSERT_FALSE(built.ok()) << config.dump();
  EXPECT_EQ(built.status().code(), code) << built.status().message();
  EXPECT_NE(built.status().message().find(says), std::string::npos) << built.status().message();
}

TEST(RecurrentFamilies, Mamba) {
  const Architecture a = MustBuild(Config("mamba", {{"time_step_rank", "auto"}}));
  ASSERT_EQ(a.layers.size(), 4u);
  const LayerSpec& layer = a.layers[3];
  EXPECT_EQ(layer.mixer, MixerKind::kMamba);
  EXPECT_EQ(layer.mlp.kind, MlpKind::kNone);
  EXPECT_EQ(layer.pre_mixer_norm.weight, "backbone.layers.3.norm.weight");
  const MambaSpec& mamba = layer.mamba;
  EXPECT_EQ(mamba.inner, 128u);
  EXPECT_EQ(mamba.state, 16u);
  EXPECT_EQ(mamba.dt.rows, 4u);
  EXPECT_EQ(mamba.x.weight, "backbone.layers.3.mixer.in_proj.weight");
  EXPECT_EQ(mamba.z.row_begin, 128u);
  EXPECT_EQ(mamba.c.row_begin, 20u);
  EXPECT_EQ(mamba.time_step.bias, "backbone.layers.3.mixer.dt_proj.bias");
  EXPECT_FALSE(mamba.b_norm.present());
  EXPECT_EQ(a.head.weight, a.embedding);
  EXPECT_GT(a.max_positions, 1u << 20);
}

TEST(RecurrentFamilies, OldKeysAndNames) {
  // FalconMamba's files give the inner size; the original implementation says "embedding".
  const Json config = Config("falcon_mamba", {{"expand", 16}, {"intermediate_size", 128}});
  const auto built = BuildArchitecture(
      config, [](std::string_view name) { return name == "backbone.embedding.weight"; });
  ASSERT_TRUE(built.ok()) << built.status().message();
  EXPECT_EQ(built->embedding, "backbone.embedding.weight");
  EXPECT_EQ(built->layers[0].mamba.inner, 128u);
  EXPECT_TRUE(built->layers[0].mamba.dt_norm.present());
  EXPECT_EQ(built->layers[0].mamba.dt_norm.weight, "");
  // Names without a prefix.
  const auto bare = BuildArchitecture(
      Config("mamba"), [](std::string_view name) { return name == "embeddings.weight"; });
  ASSERT_TRUE(bare.ok());
  EXPECT_EQ(bare->layers[1].mamba.out.weight, "layers.1.mixer.out_proj.weight");
}

TEST(RecurrentFamilies, SmallParametersAreKeptAndNamed) {
  std::size_t small = 0;
  for (const TensorUse& use : TensorUses(MustBuild(Config("mamba", {{"num_hidden_layers", 1}})))) {
    const std::string name = use.name.substr(use.name.rfind("mixer.") + 6);
    if (name == "conv1d.weight") {
      EXPECT_EQ(use.shape, (std::vector<std::uint64_t>{128, 1, 4}));
    } else if (name == "A_log") {
      EXPECT_EQ(use.shape, (std::vector<std::uint64_t>{128, 16}));
    } else if (name == "x_proj.weight") {
      EXPECT_EQ(use.shape, (std::vector<std::uint64_t>{36, 128}));
      EXPECT_EQ(use.role, TensorRole::kLinear);
      continue;
    } else {
      continue;
    }
    EXPECT_EQ(use.role, TensorRole::kVector) << use.name;
    EXPECT_EQ(use.layer, 0);
    ++small;
  }
  EXPECT_EQ(small, 2u);
}

TEST(RecurrentFamilies, Mamba2TimeStepLimits) {
  const auto limits = [](const Json& list) {
    return MustBuild(Config("mamba2", {{"time_step_limit", list}})).layers[0].mamba2;
  };
  const Mamba2Spec tagged = limits({0.0, {{"__float__", "Infinity"}}});
  EXPECT_EQ(tagged.time_step_max, std::numeric_limits<double>::infinity());
  EXPECT_EQ(limits({0.1, 0.5}).time_step_max, 0.5);
  EXPECT_EQ(limits(nullptr).time_step_min, 0);
  for (const Json& bad : {Json({0.5, 0.1}), Json({-1, 2}), Json({1}), Json("x"), Json({0, "big"})})
    ExpectRefused(Config("mamba2", {{"time_step_limit", bad}}), StatusCode::kInvalidArgument,
                  "time_step_limit");
}

TEST(RecurrentFamilies, PythonsInfinityIsRead) {
  const auto json =
      ParseJson(R"({"a\"Infinity": [0.0, Infinity], "b": -Infinity, "c": "NaN"})");
  ASSERT_TRUE(json.ok()) << json.status().message();
  EXPECT_EQ((*json)["a\"Infinity"][1]["__float__"], "Infinity");
  EXPECT_EQ((*json)["b"]["__float__"], "-Infinity");
  EXPECT_EQ((*json)["c"], "NaN");
  EXPECT_FALSE(ParseJson("{\"a\": Infinity").ok());
  EXPECT_FALSE(ParseJson("{\"a\": nope}").ok());
}

TEST(RecurrentFamilies, JambaMixesByLayer) {
  const Architecture a = MustBuild(
      Config("jamba", {{"attn_layer_period", 3}, {"attn_layer_offset", 2}, {"num_experts", 5}}));
  for (std::size_t i = 0; i < 4; ++i) {
    const LayerSpec& layer = a.layers[i];
    EXPECT_EQ(layer.mixer, i == 2 ? MixerKind::kAttention : MixerKind::kMamba);
    EXPECT_EQ(layer.mlp.kind, i % 2 == 1 ? MlpKind::kMoe : MlpKind::kGated);
  }
  EXPECT_TRUE(a.ropes.empty());
  EXPECT_EQ(a.layers[1].mlp.experts.size(), 5u);
  EXPECT_FALSE(a.layers[1].mlp.normalize_expert_weights);
  EXPECT_EQ(a.layers[0].mamba.b_norm.weight, "model.layers.0.mamba.b_layernorm.weight");
  EXPECT_EQ(a.final_norm.weight, "model.final_layernorm.weight");
  const Architecture dense = MustBuild(Config("jamba", {{"num_experts", 1}}));
  EXPECT_EQ(dense.layers[1].mlp.kind, MlpKind::kGated);
}

TEST(RecurrentFamilies, Bamba) {
  const Architecture a = MustBuild(Config("bamba", {{"attn_layer_indices", Json::array({1, 3})}}));
  EXPECT_EQ(a.layers[1].mixer, MixerKind::kAttention);
  EXPECT_EQ(a.layers[2].mixer, MixerKind::kMamba2);
  EXPECT_EQ(a.layers[2].mamba2.head_dim, 8u);
  ASSERT_EQ(a.ropes.size(), 1u);
  EXPECT_EQ(a.ropes[0].dims, 4u);
}

TEST(RecurrentFamilies, RetNet) {
  const Json extra = {{"decoder_embed_dim", 24},
                      {"decoder_value_embed_dim", 36},
                      {"decoder_retention_heads", 3},
                      {"decoder_layers", 2}};
  const Architecture a = MustBuild(Config("retnet", extra));
  ASSERT_EQ(a.layers.size(), 2u);
  const RetentionSpec& retention = a.layers[1].retention;
  EXPECT_EQ(retention.key_dim, 8u);
  EXPECT_EQ(retention.value_dim, 12u);
  EXPECT_DOUBLE_EQ(retention.decays[0], 1 - 1.0 / 32);
  EXPECT_DOUBLE_EQ(retention.decays[2], 1 - 1.0 / 128);
  EXPECT_NEAR(a.ropes[0].inv_freq.back(), 1e-4, 1e-9);
  EXPECT_TRUE(a.ropes[0].interleaved);
  // The keys of the port's first version.
  const Architecture old = MustBuild(Config("retnet", {{"use_lm_decay", true}}));
  EXPECT_EQ(old.layers.size(), 4u);
  EXPECT_EQ(old.layers[0].retention.heads, 8u);
  EXPECT_NEAR(old.layers[0].retention.decays.back(), 1 - 1.0 / 512, 1e-12);
}

TEST(RecurrentFamilies, NumbersThatDoNotFitAreRefused) {
  const auto bad = [](const char* type, const Json& extra, const std::string& says) {
    ExpectRefused(Config(type, extra), StatusCode::kInvalidArgument, says);
  };
  bad("mamba", {{"expand", 1000}, {"hidden_size", 1 << 20}}, "inner channels");
  bad("mamba", {{"time_step_rank", "large"}}, "time_step_rank");
  bad("mamba", {{"conv_kernel", 0}}, "conv_kernel");
  bad("mamba", {{"state_size", -1}}, "state_size");
  bad("mamba2", {{"n_groups", 3}}, "groups");
  bad("mamba2", {{"head_dim", 9}}, "hidden_size");
  bad("mamba2", {{"n_groups", 16}, {"state_size", 65536 + 1}}, "state_size");
  bad("mamba2", {{"hidden_size", 1 << 20}, {"num_heads", 1 << 20}, {"head_dim", 2}}, "wider than");
  bad("jamba", {{"attn_layer_offset", 8}}, "attn_layer_offset");
  bad("jamba", {{"expert_layer_period", 0}}, "expert_layer_period");
  bad("jamba", {{"num_experts_per_tok", 17}}, "experts");
  bad("jamba", {{"num_hidden_layers", 1024}, {"num_experts", 1024}}, "experts");
  bad("bamba", {{"mamba_n_heads", 7}}, "heads");
  bad("bamba", {{"attn_layer_indices", Json::array({4})}}, "attn_layer_indices");
  bad("bamba", {{"attn_layer_indices", "all"}}, "attn_layer_indices");
  bad("retnet", {{"decoder_value_embed_dim", 37}}, "heads");
  bad("retnet", {{"decoder_embed_dim", 24}, {"decoder_retention_heads", 8}}, "even");
  ExpectRefused(Config("retnet", {{"deepnorm", true}}), StatusCode::kUnsupported, "deepnorm");
  ExpectRefused(Config("mamba", {{"hidden_act", "mish"}}), StatusCode::kUnsupported, "hidden_act");
}

TEST(RecurrentFamilies, ShapesAreCompared) {
  const Architecture a = MustBuild(Config("mamba"));
  std::vector<TensorInfo> tensors;
  for (const TensorUse& use : TensorUses(a)) {
    TensorInfo& tensor = tensors.emplace_back();
    tensor.name = use.name;
    tensor.shape = use.shape;
  }
  EXPECT_TRUE(CheckTensors(a, tensors, false).ok());
  for (TensorInfo& tensor : tensors) {
    if (!tensor.name.ends_with("conv1d.weight")) continue;
    tensor.shape = {128, 4};
    break;
  }
  const Status status = CheckTensors(a, tensors, false);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("128 x 1 x 4"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace ingot::model
