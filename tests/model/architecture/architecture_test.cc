#include "model/architecture/architecture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "model/source/checkpoint.h"

namespace ingot::model {
namespace {

Json Config(const std::string& model_type, const Json& extra = Json::object()) {
  Json config = {{"model_type", model_type}, {"hidden_size", 64},
                 {"intermediate_size", 96},  {"num_hidden_layers", 4},
                 {"num_attention_heads", 8}, {"num_key_value_heads", 2},
                 {"vocab_size", 100},        {"max_position_embeddings", 512}};
  config.update(extra);
  return config;
}

// Builds with a checkpoint that has exactly these tensors.
Result<Architecture> Build(const Json& config, const std::set<std::string, std::less<>>& has = {
                                                   "model.embed_tokens.weight", "lm_head.weight"}) {
  return BuildArchitecture(config, [&](std::string_view name) { return has.contains(name); });
}

Architecture MustBuild(const Json& config) {
  auto built = Build(config);
  EXPECT_TRUE(built.ok()) << built.status().message();
  return built.ok() ? *built : Architecture();
}

TEST(Architecture, Llama) {
  const Architecture a = MustBuild(Config("llama", {{"rms_norm_eps", 1e-5}, {"mlp_bias", true}}));
  EXPECT_EQ(a.family, "llama");
  EXPECT_EQ(a.vocab_size, 100u);
  EXPECT_EQ(a.max_positions, 512u);
  EXPECT_EQ(a.embedding, "model.embed_tokens.weight");
  EXPECT_EQ(a.head.weight, "lm_head.weight");
  EXPECT_EQ(a.embedding_scale, 1);
  ASSERT_EQ(a.layers.size(), 4u);
  const LayerSpec& layer = a.layers[3];
  EXPECT_EQ(layer.attention.q.weight, "model.layers.3.self_attn.q_proj.weight");
  EXPECT_EQ(layer.attention.q.bias, "");
  EXPECT_EQ(layer.attention.q.rows, 64u);
  EXPECT_EQ(layer.attention.k.rows, 16u);
  EXPECT_EQ(layer.attention.o.cols, 64u);
  EXPECT_EQ(layer.attention.head_dim, 8u);
  EXPECT_DOUBLE_EQ(layer.attention.scale, 1 / std::sqrt(8.0));
  EXPECT_EQ(layer.attention.window, 0u);
  EXPECT_EQ(layer.mlp.down.bias, "model.layers.3.mlp.down_proj.bias");
  EXPECT_EQ(layer.mlp.down.cols, 96u);
  EXPECT_EQ(layer.pre_mlp_norm.weight, "model.layers.3.post_attention_layernorm.weight");
  EXPECT_EQ(layer.pre_mlp_norm.eps, 1e-5);
  EXPECT_FALSE(layer.post_mixer_norm.present());
}

TEST(Architecture, TiedHeadsAndPrefixes) {
  const std::set<std::string, std::less<>> bare = {"embed_tokens.weight"};
  const auto tied = Build(Config("llama"), bare);
  ASSERT_TRUE(tied.ok());
  EXPECT_EQ(tied->embedding, "embed_tokens.weight");
  EXPECT_EQ(tied->head.weight, "embed_tokens.weight");
  EXPECT_EQ(tied->layers[0].attention.q.weight, "layers.0.self_attn.q_proj.weight");
  // A file with a head uses it, whatever the config says; one without needs the permission to tie.
  EXPECT_EQ(Build(Config("llama", {{"tie_word_embeddings", true}}))->head.weight, "lm_head.weight");
  EXPECT_EQ(Build(Config("llama", {{"tie_word_embeddings", false}}), bare)->head.weight,
            "lm_head.weight");
}

TEST(Architecture, BiasesFollowTheConfigElseTheFile) {
  const std::set<std::string, std::less<>> has = {"model.layers.0.self_attn.q_proj.bias"};
  EXPECT_EQ(Build(Config("llama"), has)->layers[0].attention.q.bias,
            "model.layers.0.self_attn.q_proj.bias");
  EXPECT_EQ(Build(Config("llama"), has)->layers[0].attention.o.bias, "");
  EXPECT_EQ(Build(Config("llama", {{"attention_bias", false}}), has)->layers[0].attention.q.bias,
            "");
  EXPECT_EQ(Build(Config("llama", {{"attention_bias", true}}))->layers[0].attention.o.bias,
            "model.layers.0.self_attn.o_proj.bias");
  EXPECT_EQ(Build(Config("qwen2"))->layers[0].attention.v.bias,
            "model.layers.0.self_attn.v_proj.bias");
  EXPECT_EQ(Build(Config("qwen2"))->layers[0].attention.o.bias, "");
}

std::vector<std::uint64_t> WindowsOf(const Json& config) {
  const auto built = Build(config);
  EXPECT_TRUE(built.ok()) << built.status().message();
  std::vector<std::uint64_t> windows;
  if (built.ok())
    for (const LayerSpec& layer : built->layers) windows.push_back(layer.attention.window);
  return windows;
}

TEST(Architecture, Windows) {
  using List = std::vector<std::uint64_t>;
  EXPECT_EQ(WindowsOf(Config("mistral", {{"sliding_window", 32}})), (List{32, 32, 32, 32}));
  EXPECT_EQ(WindowsOf(Config("mistral", {{"sliding_window", nullptr}})), (List{0, 0, 0, 0}));
  EXPECT_EQ(WindowsOf(Config("mistral")), (List{4096, 4096, 4096, 4096}));
  EXPECT_EQ(WindowsOf(Config("phi3", {{"sliding_window", 33}})), (List{33, 33, 33, 33}));
  const Json qwen = {
      {"use_sliding_window", true}, {"sliding_window", 16}, {"max_window_layers", 3}};
  EXPECT_EQ(WindowsOf(Config("qwen2", qwen)), (List{0, 0, 0, 16}));
  EXPECT_EQ(WindowsOf(Config("qwen2", {{"use_sliding_window", false}, {"sliding_window", 16}})),
            (List{0, 0, 0, 0}));
  Json typed = qwen;
  typed["layer_types"] = {"sliding_attention", "full_attention", "full_attention",
                          "sliding_attention"};
  EXPECT_EQ(WindowsOf(Config("qwen3", typed)), (List{16, 0, 0, 16}));
  EXPECT_EQ(WindowsOf(Config("gemma2", {{"sliding_window", 8}})), (List{8, 0, 8, 0}));
  EXPECT_EQ(
      WindowsOf(Config("gemma3_text", {{"sliding_window", 8}, {"sliding_window_pattern", 3}})),
      (List{8, 8, 0, 8}));
}

TEST(Architecture, Qwen3NormsHeads) {
  const Architecture a = MustBuild(Config("qwen3", {{"head_dim", 32}}));
  const AttentionSpec& attention = a.layers[1].attention;
  EXPECT_EQ(attention.q_norm.weight, "model.layers.1.self_attn.q_norm.weight");
  EXPECT_EQ(attention.q.rows, 256u);
  EXPECT_EQ(attention.o.cols, 256u);
  EXPECT_EQ(attention.k.bias, "");
}

TEST(Architecture, Phi3SplitsFusedMatrices) {
  const Architecture a = MustBuild(Config("phi3"));
  const LayerSpec& layer = a.layers[0];
  EXPECT_EQ(layer.attention.v.weight, "model.layers.0.self_attn.qkv_proj.weight");
  EXPECT_EQ(layer.attention.v.row_begin, 80u);
  EXPECT_EQ(layer.attention.v.rows, 16u);
  EXPECT_EQ(layer.mlp.up.weight, "model.layers.0.mlp.gate_up_proj.weight");
  EXPECT_EQ(layer.mlp.up.row_begin, 96u);
}

TEST(Architecture, Gemmas) {
  const Architecture one = MustBuild(Config("gemma", {{"head_dim", 16}, {"hidden_act", "gelu"}}));
  EXPECT_DOUBLE_EQ(one.embedding_scale, 8);
  EXPECT_EQ(one.final_norm.weight_offset, 1);
  EXPECT_EQ(one.layers[0].mlp.activation, Activation::kGeluTanh);
  EXPECT_FALSE(one.layers[0].post_mixer_norm.present());
  EXPECT_EQ(one.logit_softcap, 0);

  const Architecture two = MustBuild(Config("gemma2", {{"query_pre_attn_scalar", 144}}));
  EXPECT_EQ(two.logit_softcap, 30);
  const LayerSpec& layer = two.layers[0];
  EXPECT_EQ(layer.attention.softcap, 50);
  EXPECT_DOUBLE_EQ(layer.attention.scale, 1.0 / 12);
  EXPECT_EQ(layer.post_mixer_norm.weight, "model.layers.0.post_attention_layernorm.weight");
  EXPECT_EQ(layer.pre_mlp_norm.weight, "model.layers.0.pre_feedforward_layernorm.weight");
  EXPECT_EQ(layer.post_mlp_norm.weight, "model.layers.0.post_feedforward_layernorm.weight");

  const Architecture three = MustBuild(Config(
      "gemma3_text", {{"sliding_window", 8}, {"sliding_window_pattern", 2}, {"head_dim", 16}}));
  ASSERT_EQ(three.ropes.size(), 2u);
  EXPECT_EQ(three.layers[0].attention.rope, 1u);
  EXPECT_EQ(three.layers[1].attention.rope, 0u);
  EXPECT_EQ(three.layers[1].attention.q_norm.weight_offset, 1);
  EXPECT_LT(three.ropes[0].inv_freq[1], three.ropes[1].inv_freq[1]);  // 1e6 against 1e4
}

TEST(Architecture, GraniteMultipliers) {
  const Architecture a = MustBuild(Config("granite", {{"embedding_multiplier", 12.0},
                                                      {"residual_multiplier", 0.22},
                                                      {"attention_multiplier", 0.015625},
                                                      {"logits_scaling", 8.0}}));
  EXPECT_EQ(a.embedding_scale, 12);
  EXPECT_EQ(a.logit_scale, 0.125);
  EXPECT_EQ(a.layers[2].residual_scale, 0.22);
  EXPECT_EQ(a.layers[2].attention.scale, 0.015625);
}

TEST(Architecture, MixtureOfExperts) {
  const Architecture a =
      MustBuild(Config("mixtral", {{"num_local_experts", 3}, {"num_experts_per_tok", 2}}));
  const MlpSpec& mlp = a.layers[0].mlp;
  EXPECT_EQ(mlp.kind, MlpKind::kMoe);
  EXPECT_EQ(mlp.router.weight, "model.layers.0.block_sparse_moe.gate.weight");
  EXPECT_EQ(mlp.router.rows, 3u);
  ASSERT_EQ(mlp.experts.size(), 3u);
  EXPECT_EQ(mlp.experts[2].down.weight, "model.layers.0.block_sparse_moe.experts.2.w2.weight");
  EXPECT_TRUE(mlp.normalize_expert_weights);
  const Architecture q = MustBuild(Config("qwen3_moe", {{"num_experts", 4},
                                                        {"moe_intermediate_size", 32},
                                                        {"mlp_only_layers", {1}},
                                                        {"head_dim", 8},
                                                        {"num_experts_per_tok", 2}}));
  EXPECT_EQ(q.layers[0].mlp.experts[3].up.weight, "model.layers.0.mlp.experts.3.up_proj.weight");
  EXPECT_EQ(q.layers[0].mlp.experts[3].up.rows, 32u);
  EXPECT_EQ(q.layers[1].mlp.kind, MlpKind::kGated);
}

struct BadCase {
  Json config;
  StatusCode code;
  const char* message;
};

TEST(Architecture, NamesWhatIsWrong) {
  Json no_hidden = Config("llama");
  no_hidden.erase("hidden_size");
  const BadCase cases[] = {
      {Json::array(), StatusCode::kInvalidArgument, "config.json: not an object"},
      {Json::object(), StatusCode::kInvalidArgument,
       "config.json: 'model_type' is missing, so the architecture is unknown"},
      {no_hidden, StatusCode::kInvalidArgument, "config.json: 'hidden_size' is missing"},
      {Config("llama", {{"hidden_size", -64}}), StatusCode::kInvalidArgument,
       "config.json: 'hidden_size' is -64, a whole number from 1 to 1048576 was expected"},
      {Config("llama", {{"num_hidden_layers", 1000000000}}), StatusCode::kInvalidArgument,
       "config.json: 'num_hidden_layers' is 1000000000, a whole number from 1 to 1024 was "
       "expected"},
      {Config("llama", {{"num_key_value_heads", 3}}), StatusCode::kInvalidArgument,
       "config.json: 'num_attention_heads' 8 is not a multiple of 'num_key_value_heads' 3"},
      {Config("llama", {{"hidden_size", 60}}), StatusCode::kInvalidArgument,
       "config.json: 'hidden_size' 60 is not a multiple of 'num_attention_heads' 8"},
      {Config("llama", {{"head_dim", 1048576}}), StatusCode::kInvalidArgument,
       "config.json: 8 heads of 1048576 dimensions are wider than 1048576"},
      {Config("llama", {{"rms_norm_eps", 0}}), StatusCode::kInvalidArgument,
       "config.json: 'rms_norm_eps' is 0, a number above 0 was expected"},
      {Config("llama", {{"rms_norm_eps", std::nan("")}}), StatusCode::kInvalidArgument,
       "config.json: 'rms_norm_eps' is null, a number was expected"},
      {Config("llama", {{"hidden_act", "mish"}}), StatusCode::kUnsupported,
       "config.json: 'hidden_act' is 'mish' (known: silu, gelu, gelu_new, gelu_pytorch_tanh, "
       "relu)"},
      {Config("llama", {{"attention_bias", 1}}), StatusCode::kInvalidArgument,
       "config.json: 'attention_bias' is 1, true or false was expected"},
      {Config("qwen2", {{"use_sliding_window", true}, {"layer_types", {"full_attention"}}}),
       StatusCode::kInvalidArgument, "config.json: 'layer_types' has 1 entries for 4 layers"},
      {Config("mixtral", {{"num_local_experts", 2}, {"num_experts_per_tok", 3}}),
       StatusCode::kInvalidArgument,
       "config.json: 'num_experts_per_tok' is 3, but there are 2 experts"},
      {Config("mixtral", {{"num_local_experts", 1024}, {"num_hidden_layers", 1024}}),
       StatusCode::kInvalidArgument,
       "config.json: 1024 layers of 1024 experts are more than 65536 experts"},
  };
  for (const BadCase& c : cases) {
    const auto built = Build(c.config);
    ASSERT_FALSE(built.ok()) << c.message;
    EXPECT_EQ(built.status().code(), c.code) << c.message;
    EXPECT_EQ(built.status().message(), c.message);
  }
}

TEST(Architecture, AnUnknownTypeIsNamedWithTheKnownOnes) {
  const auto built = Build(Config("mamba9"));
  ASSERT_FALSE(built.ok());
  EXPECT_EQ(built.status().code(), StatusCode::kUnsupported);
  const std::string message(built.status().message());
  EXPECT_EQ(message.find("config.json: architecture 'mamba9' is not supported (known: llama, "), 0u)
      << message;
  for (const char* known : {" mistral,", " qwen3_moe,", " gpt2,", " falcon,", " bloom,"})
    EXPECT_NE(message.find(known), std::string::npos) << message;
}

// Every model directory of the family that is at hand opens, builds and has the tensors it should.
void CheckModel(const std::string& path) {
  const auto opened = Checkpoint::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const Checkpoint& checkpoint = **opened;
  const auto built = BuildArchitecture(
      checkpoint.config(), [&](std::string_view name) { return checkpoint.Find(name) != nullptr; });
  ASSERT_TRUE(built.ok()) << path << ": " << built.status().message();
  const Status status = CheckTensors(*built, checkpoint.tensors(), false);
  EXPECT_TRUE(status.ok()) << path << ": " << status.message();
}

TEST(Architecture, SharedModelsOfTheFamily) {
  const std::string models = INGOT_SHARED_DIR "/models/";
  if (!std::filesystem::exists(models)) GTEST_SKIP() << "no shared model data in " << models;
  for (const char* name :
       {"stories260K-llama", "stories260K-as-mistral", "stories260K-as-qwen2",
        "stories260K-as-phi3", "stories260K-as-mixtral", "qwen2-tiny-local", "mixtral-tiny-local",
        "bloom-tiny-local", "falcon-tiny-local", "gpt2-tiny-local", "gpt_neox-tiny-local",
        "opt-tiny-local", "phi-tiny-local"})
    CheckModel(models + name);
}

}  // namespace
}  // namespace ingot::model
