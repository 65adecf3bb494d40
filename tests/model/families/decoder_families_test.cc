// Descriptions of the decoder families beyond LLaMA's: what tells one from another, prefixes, and
// configurations that do not fit. What they compute is in tests/loader/forward_test.cc.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::model {
namespace {

using Names = std::set<std::string, std::less<>>;

Result<Architecture> Build(const Json& config, const Names& has = {}) {
  return BuildArchitecture(config, [&](std::string_view name) { return has.contains(name); });
}

Architecture MustBuild(const Json& config, const Names& has = {}) {
  auto built = Build(config, has);
  EXPECT_TRUE(built.ok()) << built.status().message();
  return built.ok() ? *built : Architecture();
}

Json Merged(Json config, const Json& extra) {
  config.update(extra);
  return config;
}

Json Gpt2(const Json& extra = Json::object()) {
  return Merged({{"model_type", "gpt2"},
                 {"vocab_size", 100},
                 {"n_embd", 48},
                 {"n_layer", 2},
                 {"n_head", 6},
                 {"n_inner", nullptr},
                 {"n_positions", 64}},
                extra);
}

Json Usual(const std::string& type, const Json& extra = Json::object()) {
  return Merged({{"model_type", type},
                 {"vocab_size", 100},
                 {"hidden_size", 48},
                 {"intermediate_size", 96},
                 {"num_hidden_layers", 4},
                 {"num_attention_heads", 6},
                 {"max_position_embeddings", 64}},
                extra);
}

TEST(DecoderFamilies, Gpt2FusesTransposedMatrices) {
  const Architecture a = MustBuild(Gpt2(), {"transformer.wte.weight"});
  EXPECT_EQ(a.position_embedding, "transformer.wpe.weight");
  EXPECT_EQ(a.max_positions, 64u);
  EXPECT_EQ(a.head.weight, a.embedding);
  EXPECT_TRUE(a.ropes.empty());
  const LayerSpec& layer = a.layers[1];
  EXPECT_EQ(layer.attention.v.weight, "transformer.h.1.attn.c_attn.weight");
  EXPECT_EQ(layer.attention.v.row_begin, 96u);
  EXPECT_TRUE(layer.attention.v.transposed);
  EXPECT_TRUE(layer.attention.o.transposed);
  EXPECT_EQ(layer.mlp.up.rows, 192u);
  EXPECT_EQ(layer.mlp.kind, MlpKind::kPlain);
  EXPECT_EQ(layer.mlp.activation, Activation::kGeluTanh);
  for (const TensorUse& use : TensorUses(a))
    if (use.name == "transformer.h.1.attn.c_attn.weight") {
      EXPECT_EQ(use.shape, (std::vector<std::uint64_t>{48, 144}));
      EXPECT_TRUE(use.transposed);
    }
}

TEST(DecoderFamilies, PrefixesAndNamesOfSizes) {
  EXPECT_EQ(MustBuild(Gpt2(), {"wte.weight"}).embedding, "wte.weight");
  EXPECT_EQ(MustBuild(Gpt2(), {"wte.weight"}).layers[0].attention.q.weight,
            "h.0.attn.c_attn.weight");
  // Nothing there at all: named as transformers would.
  EXPECT_EQ(MustBuild(Gpt2()).embedding, "transformer.wte.weight");
  Json usual_names = Gpt2();
  usual_names.erase("n_embd");
  usual_names["hidden_size"] = 24;
  EXPECT_EQ(MustBuild(usual_names).hidden_size, 24u);
  EXPECT_EQ(MustBuild(Usual("opt", {{"ffn_dim", 64}}), {"decoder.embed_tokens.weight"}).embedding,
            "decoder.embed_tokens.weight");
  EXPECT_EQ(MustBuild(Usual("opt", {{"ffn_dim", 64}})).embedding,
            "model.decoder.embed_tokens.weight");
  EXPECT_EQ(MustBuild(Usual("gpt_neox"), {"embed_in.weight", "lm_head.weight"}).head.weight,
            "lm_head.weight");
  EXPECT_EQ(MustBuild(Usual("gpt_neox"), {"embed_out.weight"}).head.weight, "embed_out.weight");
}

TEST(DecoderFamilies, Gpt2ScalesScores) {
  const double usual = 1 / std::sqrt(8.0);
  EXPECT_DOUBLE_EQ(MustBuild(Gpt2()).layers[1].attention.scale, usual);
  EXPECT_DOUBLE_EQ(MustBuild(Gpt2({{"scale_attn_weights", false}})).layers[1].attention.scale, 1);
  EXPECT_DOUBLE_EQ(
      MustBuild(Gpt2({{"scale_attn_by_inverse_layer_idx", true}})).layers[1].attention.scale,
      usual / 2);
}

TEST(DecoderFamilies, GptJRotatesPairsOfAPart) {
  const Architecture a = MustBuild(Gpt2({{"model_type", "gptj"}, {"rotary_dim", 4}}),
                                   {"lm_head.weight", "lm_head.bias"});
  EXPECT_EQ(a.ropes[0].dims, 4u);
  EXPECT_TRUE(a.ropes[0].interleaved);
  EXPECT_EQ(a.layers[0].residual, ResidualKind::kParallel);
  EXPECT_FALSE(a.layers[0].pre_mlp_norm.present());
  EXPECT_EQ(a.layers[0].attention.q.bias, "");
  EXPECT_EQ(a.head.bias, "lm_head.bias");
}

TEST(DecoderFamilies, GptNeoAlternatesWindows) {
  const Json config = {{"model_type", "gpt_neo"}, {"vocab_size", 100}, {"hidden_size", 48},
                       {"num_layers", 4},         {"num_heads", 6},    {"window_size", 7}};
  const auto windows = [&](const Json& extra) {
    std::vector<std::uint64_t> list;
    for (const LayerSpec& layer : MustBuild(Merged(config, extra)).layers)
      list.push_back(layer.attention.window);
    return list;
  };
  using List = std::vector<std::uint64_t>;
  EXPECT_EQ(windows({{"attention_types", Json::parse(R"([[["global", "local"], 2]])")}}),
            (List{0, 7, 0, 7}));
  EXPECT_EQ(windows({{"attention_types", Json::parse(R"([[["global"], 1], [["local"], 3]])")}}),
            (List{0, 7, 7, 7}));
  EXPECT_EQ(windows({{"attention_layers", {"local", "local", "global", "local"}}}),
            (List{7, 7, 0, 7}));
  EXPECT_EQ(windows(Json::object()), (List{0, 7, 0, 7}));
  EXPECT_EQ(MustBuild(config).layers[0].attention.scale, 1);
}

TEST(DecoderFamilies, FusedGroupsComeApart) {
  const Architecture neox = MustBuild(Usual("gpt_neox", {{"rotary_pct", 0.5}}));
  const AttentionSpec& spec = neox.layers[0].attention;
  EXPECT_EQ(spec.qkv.rows, 144u);
  EXPECT_EQ(spec.k_columns.begin, 8u);
  EXPECT_EQ(spec.k_columns.stride, 24u);
  EXPECT_EQ(spec.k_columns.count, 6u);
  EXPECT_EQ(neox.ropes[0].dims, 4u);
  EXPECT_FALSE(spec.q.present());

  const Json falcon = Usual("falcon");
  const AttentionSpec multi_query = MustBuild(falcon).layers[0].attention;
  EXPECT_EQ(multi_query.kv_heads, 1u);
  EXPECT_EQ(multi_query.k.row_begin, 48u);
  EXPECT_EQ(multi_query.v.row_begin, 56u);
  const Architecture grouped =
      MustBuild(Merged(falcon, {{"new_decoder_architecture", true}, {"num_kv_heads", 2}}));
  EXPECT_EQ(grouped.layers[0].attention.q_columns.width, 24u);
  EXPECT_EQ(grouped.layers[0].attention.v_columns.begin, 32u);
  EXPECT_EQ(grouped.layers[0].attention.v_columns.stride, 40u);
  EXPECT_EQ(grouped.layers[0].pre_mlp_norm.weight, "transformer.h.0.ln_mlp.weight");
}

TEST(DecoderFamilies, FalconVariants) {
  const Architecture rw = MustBuild(
      Usual("falcon",
            {{"alibi", true}, {"multi_query", false}, {"parallel_attn", false}, {"bias", true}}));
  EXPECT_TRUE(rw.ropes.empty());
  EXPECT_TRUE(rw.layers[0].attention.alibi_bf16);
  EXPECT_DOUBLE_EQ(rw.layers[0].attention.alibi_scale, 1 / std::sqrt(8.0));
  EXPECT_EQ(rw.layers[0].residual, ResidualKind::kSequential);
  EXPECT_EQ(rw.layers[0].attention.kv_heads, 6u);
  EXPECT_EQ(rw.layers[0].mlp.down.bias, "transformer.h.0.mlp.dense_4h_to_h.bias");
  const Json first_release = {{"model_type", "RefinedWeb"},
                              {"vocab_size", 100},
                              {"hidden_size", 48},
                              {"n_layer", 1},
                              {"n_head", 6},
                              {"n_head_kv", 3}};
  EXPECT_EQ(MustBuild(first_release).layers[0].attention.kv_heads, 3u);
  EXPECT_EQ(MustBuild(first_release).layers[0].pre_mixer_norm.weight,
            "transformer.h.0.ln_attn.weight");
}

TEST(DecoderFamilies, OptVariants) {
  const Json opt = Usual("opt", {{"ffn_dim", 64}});
  const Architecture pre = MustBuild(opt);
  EXPECT_EQ(pre.position_offset, 2u);
  EXPECT_TRUE(pre.final_norm.present());
  EXPECT_EQ(pre.layers[0].mlp.activation, Activation::kRelu);
  EXPECT_EQ(pre.layers[0].pre_mlp_norm.weight, "model.decoder.layers.0.final_layer_norm.weight");
  EXPECT_FALSE(MustBuild(Merged(opt, {{"_remove_final_layer_norm", true}})).final_norm.present());
  const Architecture post =
      MustBuild(Merged(opt, {{"do_layer_norm_before", false}, {"word_embed_proj_dim", 20}}));
  EXPECT_EQ(post.layers[0].residual, ResidualKind::kPostNorm);
  EXPECT_FALSE(post.final_norm.present());
  EXPECT_EQ(post.embedding_size, 20u);
  EXPECT_EQ(post.head.cols, 20u);
  EXPECT_EQ(post.head_projection.rows, 20u);
  const Architecture plain =
      MustBuild(Merged(opt, {{"enable_bias", false}, {"layer_norm_elementwise_affine", false}}));
  EXPECT_EQ(plain.layers[0].attention.o.bias, "");
  EXPECT_EQ(plain.layers[0].pre_mixer_norm.weight, "");
  EXPECT_TRUE(plain.layers[0].pre_mixer_norm.present());
}

TEST(DecoderFamilies, NormsOfHeads) {
  const Architecture each =
      MustBuild(Usual("stablelm", {{"num_key_value_heads", 3}, {"qk_layernorm", true}}));
  EXPECT_EQ(each.layers[0].attention.q_norm.head_weights.size(), 6u);
  EXPECT_EQ(each.layers[0].attention.k_norm.head_weights[2],
            "model.layers.0.self_attn.k_layernorm.norms.2.weight");
  const Architecture all = MustBuild(Usual("olmo2", {{"num_key_value_heads", 2}}));
  EXPECT_TRUE(all.layers[0].attention.norm_all_heads);
  EXPECT_FALSE(all.layers[0].pre_mixer_norm.present());
  for (const TensorUse& use : TensorUses(all))
    if (use.name == "model.layers.0.self_attn.k_norm.weight") {
      EXPECT_EQ(use.shape, (std::vector<std::uint64_t>{16}));
    }
  const Architecture olmo = MustBuild(Usual("olmo", {{"clip_qkv", 8.0}}));
  EXPECT_EQ(olmo.layers[0].attention.clip_qkv, 8);
  EXPECT_EQ(olmo.final_norm.weight, "");
  EXPECT_EQ(MustBuild(Usual("olmo", {{"clip_qkv", nullptr}})).layers[0].attention.clip_qkv, 0);
}

TEST(DecoderFamilies, SharedExpertAndDenseLayers) {
  const Json config = Usual("qwen2_moe", {{"num_experts", 4},
                                          {"num_experts_per_tok", 2},
                                          {"moe_intermediate_size", 8},
                                          {"shared_expert_intermediate_size", 24},
                                          {"decoder_sparse_step", 2},
                                          {"mlp_only_layers", {3}}});
  const Architecture a = MustBuild(config);
  EXPECT_EQ(a.layers[0].mlp.kind, MlpKind::kGated);
  EXPECT_EQ(a.layers[1].mlp.kind, MlpKind::kMoe);
  EXPECT_EQ(a.layers[3].mlp.kind, MlpKind::kGated);
  const MlpSpec& mlp = a.layers[1].mlp;
  ASSERT_EQ(mlp.shared_expert.size(), 1u);
  EXPECT_EQ(mlp.shared_expert[0].up.rows, 24u);
  EXPECT_EQ(mlp.shared_gate.weight, "model.layers.1.mlp.shared_expert_gate.weight");
  EXPECT_FALSE(mlp.normalize_expert_weights);
  EXPECT_EQ(a.layers[0].attention.q.bias, "model.layers.0.self_attn.q_proj.bias");
  EXPECT_EQ(a.layers[0].attention.o.bias, "");
}

TEST(DecoderFamilies, NamesWhatDoesNotFit) {
  struct BadCase {
    Json config;
    StatusCode code;
    const char* message;
  };
  const BadCase cases[] = {
      {Gpt2({{"n_head", 5}}), StatusCode::kInvalidArgument,
       "config.json: 'n_embd' 48 is not a multiple of 'n_head' 5"},
      {Gpt2({{"n_layer", 5000}}), StatusCode::kInvalidArgument,
       "config.json: 'n_layer' is 5000, a whole number from 1 to 1024 was expected"},
      {Gpt2({{"add_cross_attention", true}}), StatusCode::kUnsupported,
       "config.json: 'add_cross_attention' is true: encoder-decoders are not supported"},
      {Gpt2({{"model_type", "gptj"}, {"rotary_dim", 9}}), StatusCode::kInvalidArgument,
       "config.json: 'rotary_dim' is 9, a whole number from 2 to 8 was expected"},
      {Gpt2({{"model_type", "gptj"}, {"rotary_dim", 5}}), StatusCode::kInvalidArgument,
       "config.json: rotary embedding over 5 of a head's 5 dimensions: an even number was "
       "expected"},
      {Usual("gpt_neo", {{"attention_types", Json::parse(R"([[["global"], 1]])")}}),
       StatusCode::kInvalidArgument,
       "config.json: 'attention_types' says what 1 of 4 layers attend to"},
      {Usual("gpt_neo", {{"attention_types", Json::parse(R"([[["sparse"], 4]])")}}),
       StatusCode::kUnsupported, "config.json: layer 0 attends 'sparse' (known: global, local)"},
      {Usual("falcon", {{"new_decoder_architecture", true}, {"num_kv_heads", 4}}),
       StatusCode::kInvalidArgument,
       "config.json: 'num_attention_heads' 6 is not a multiple of 'num_kv_heads' 4"},
      {Usual("falcon", {{"new_decoder_architecture", true}, {"parallel_attn", false}}),
       StatusCode::kInvalidArgument,
       "config.json: 'new_decoder_architecture' is true and 'parallel_attn' false: no such model "
       "is "
       "defined"},
      {Usual("falcon", {{"num_ln_in_parallel_attn", 2}}), StatusCode::kInvalidArgument,
       "config.json: 'num_ln_in_parallel_attn' is 2 without 'new_decoder_architecture'"},
      {Usual("bloom", {{"apply_residual_connection_post_layernorm", true}}),
       StatusCode::kUnsupported,
       "config.json: 'apply_residual_connection_post_layernorm' is true: residuals of normalized "
       "states are not supported"},
      {Usual("stablelm", {{"num_key_value_heads", 4}}), StatusCode::kInvalidArgument,
       "config.json: 'num_attention_heads' 6 is not a multiple of 'num_key_value_heads' 4"},
      {Usual("stablelm",
             {{"qk_layernorm", true}, {"num_attention_heads", 65536}, {"hidden_size", 1048576}}),
       StatusCode::kInvalidArgument,
       "config.json: 4 layers of 65536 heads with a norm each are more than 65536 norms"},
      {Usual("olmo", {{"clip_qkv", -1}}), StatusCode::kInvalidArgument,
       "config.json: 'clip_qkv' is -1, a number above 0 was expected"},
      {Usual("olmoe", {{"num_experts", 3}, {"num_experts_per_tok", 5}}),
       StatusCode::kInvalidArgument,
       "config.json: 'num_experts_per_tok' is 5, but there are 3 experts"},
      {Usual("opt", {{"ffn_dim", 8}, {"activation_function", "mish"}}), StatusCode::kUnsupported,
       "config.json: 'activation_function' is 'mish' (known: silu, gelu, gelu_new, "
       "gelu_pytorch_tanh, relu)"},
  };
  for (const BadCase& c : cases) {
    const auto built = Build(c.config);
    ASSERT_FALSE(built.ok()) << c.message;
    EXPECT_EQ(built.status().code(), c.code) << c.message;
    EXPECT_EQ(built.status().message(), c.message);
  }
}

// The fixture's tensors without those that `drop` names.
std::vector<TensorInfo> Without(const Checkpoint& checkpoint, std::string_view drop) {
  std::vector<TensorInfo> tensors;
  for (const TensorInfo& tensor : checkpoint.tensors())
    if (tensor.name.find(drop) == std::string::npos) tensors.push_back(tensor);
  return tensors;
}

TEST(DecoderFamilies, MissingExpertsAndUnexpectedTensorsAreNamed) {
  const std::string folder = INGOT_SOURCE_DIR "/tests/fixtures/models/";
  auto opened = Checkpoint::Open(folder + "qwen2-moe");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const Checkpoint& checkpoint = **opened;
  const Architecture a =
      MustBuild(checkpoint.config(), {"model.embed_tokens.weight", "lm_head.weight"});
  EXPECT_TRUE(CheckTensors(a, checkpoint.tensors(), false).ok());
  Status status = CheckTensors(a, Without(checkpoint, "layers.2.mlp.experts.4.up"), false);
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(status.message(),
            "tensor 'model.layers.2.mlp.experts.4.up_proj.weight' (12 x 24) is missing, though "
            "config.json asks for it");
  status = CheckTensors(a, Without(checkpoint, "shared_expert_gate"), false);
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  std::vector<TensorInfo> more = Without(checkpoint, "nothing");
  more.push_back(more.front());
  more.back().name = "model.layers.0.mlp.experts.5.up_proj.weight";
  status = CheckTensors(a, more, false);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("'model.layers.0.mlp.experts.5.up_proj.weight'"),
            std::string::npos);
  EXPECT_TRUE(CheckTensors(a, more, true).ok());
}

// Every fixture opens, builds and uses all of its tensors.
TEST(DecoderFamilies, FixturesAreUsedWhole) {
  int fixtures = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(INGOT_SOURCE_DIR "/tests/fixtures/models")) {
    if (!std::filesystem::exists(entry.path() / "config.json")) continue;
    const auto opened = Checkpoint::Open(entry.path());
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const Checkpoint& checkpoint = **opened;
    const auto built = BuildArchitecture(checkpoint.config(), [&](std::string_view name) {
      return checkpoint.Find(name) != nullptr;
    });
    ASSERT_TRUE(built.ok()) << entry.path() << ": " << built.status().message();
    const Status status = CheckTensors(*built, checkpoint.tensors(), false);
    EXPECT_TRUE(status.ok()) << entry.path() << ": " << status.message();
    ++fixtures;
  }
  EXPECT_GE(fixtures, 50);
}

}  // namespace
}  // namespace ingot::model
