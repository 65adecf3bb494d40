#include <gtest/gtest.h>

#include "model/architecture/architecture.h"

namespace ingot::model {
namespace {

Architecture Build(const char* type, bool tied) {
  const Json config = {{"model_type", type},       {"hidden_size", 64},
                       {"intermediate_size", 96},  {"num_hidden_layers", 1},
                       {"num_attention_heads", 8}, {"num_key_value_heads", 2},
                       {"vocab_size", 100},        {"tie_word_embeddings", tied}};
  const auto built = BuildArchitecture(config, [&](std::string_view name) {
    return name == "lm_head.weight" ? !tied : !name.ends_with(".bias");
  });
  EXPECT_TRUE(built.ok()) << built.status().message();
  return *built;
}

std::vector<TensorInfo> Tensors(const Architecture& architecture) {
  std::vector<TensorInfo> tensors;
  for (const TensorUse& use : TensorUses(architecture)) {
    TensorInfo& tensor = tensors.emplace_back();
    tensor.name = use.name;
    tensor.shape = use.shape;
    tensor.file = "model.safetensors";
  }
  return tensors;
}

TEST(TensorUses, ExecutionOrderWithFusedMatricesOnce) {
  std::vector<std::string> names;
  const std::vector<TensorUse> uses = TensorUses(Build("phi3", false));
  for (const TensorUse& use : uses) names.push_back(use.name);
  EXPECT_EQ(
      names,
      (std::vector<std::string>{
          "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight",
          "model.layers.0.self_attn.qkv_proj.weight", "model.layers.0.self_attn.o_proj.weight",
          "model.layers.0.post_attention_layernorm.weight",
          "model.layers.0.mlp.gate_up_proj.weight", "model.layers.0.mlp.down_proj.weight",
          "model.norm.weight", "lm_head.weight"}));
  EXPECT_EQ(uses[2].shape, (std::vector<std::uint64_t>{96, 64}));
  EXPECT_EQ(uses[5].shape, (std::vector<std::uint64_t>{192, 64}));
  EXPECT_EQ(uses[0].role, TensorRole::kEmbedding);
  EXPECT_EQ(uses[2].role, TensorRole::kLinear);
  EXPECT_EQ(uses[7].role, TensorRole::kVector);
  EXPECT_EQ(uses[8].role, TensorRole::kHead);
  EXPECT_EQ(uses[2].layer, 0);
  EXPECT_EQ(uses[7].layer, -1);
}

TEST(TensorUses, TiedHeadAppearsOnceAsTheEmbedding) {
  int embeddings = 0;
  for (const TensorUse& use : TensorUses(Build("llama", true))) {
    EXPECT_NE(use.role, TensorRole::kHead) << use.name;
    embeddings += use.role == TensorRole::kEmbedding;
  }
  EXPECT_EQ(embeddings, 1);
}

TEST(CheckTensors, SaysWhichTensorDisagrees) {
  const Architecture a = Build("llama", true);
  std::vector<TensorInfo> tensors = Tensors(a);
  EXPECT_TRUE(CheckTensors(a, tensors, false).ok());

  std::vector<TensorInfo> missing = tensors;
  missing.erase(missing.begin() + 2);
  const Status absent = CheckTensors(a, missing, true);
  EXPECT_EQ(absent.code(), StatusCode::kNotFound);
  EXPECT_EQ(absent.message(),
            "tensor 'model.layers.0.self_attn.q_proj.weight' (64 x 64) is missing, though "
            "config.json asks for it");

  std::vector<TensorInfo> other_shape = tensors;
  other_shape[2].shape = {64, 32};
  const Status shape = CheckTensors(a, other_shape, true);
  EXPECT_EQ(shape.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(shape.message(),
            "model.safetensors: tensor 'model.layers.0.self_attn.q_proj.weight' is 64 x 32, "
            "config.json asks for 64 x 64");

  TensorInfo extra = tensors[0];
  extra.name = "model.layers.0.self_attn.rotary_emb.inv_freq";
  tensors.push_back(extra);
  EXPECT_TRUE(CheckTensors(a, tensors, false).ok());
  extra.name = "model.layers.1.mlp.gate.weight";
  tensors.push_back(extra);
  extra.name = "model.layers.1.mlp.up.weight";
  tensors.push_back(extra);
  EXPECT_TRUE(CheckTensors(a, tensors, true).ok());
  const Status unused = CheckTensors(a, tensors, false);
  EXPECT_EQ(unused.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(unused.message(),
            "model.safetensors: tensor 'model.layers.1.mlp.gate.weight' (100 x 64) has no use in "
            "architecture 'llama', nor have 1 others");
}

}  // namespace
}  // namespace ingot::model
