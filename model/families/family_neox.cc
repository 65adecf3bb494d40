// GPT-NeoX and Pythia, Phi-1, 1.5 and 2, StableLM, StarCoder 2: LayerNorm, rotary embedding on a
// part of each head (StarCoder 2: all of it), attention and MLP side by side where the config says
// so.
#include <fmt/format.h>

#include <array>

#include "model/architecture/rope_config.h"
#include "model/families/family.h"

namespace ingot::model {
namespace {

constexpr std::uint64_t kMaxHeadNorms = 65536;

SizeDefaults Defaults(std::uint64_t positions, const char* activation) {
  SizeDefaults defaults;
  defaults.max_positions = positions;
  defaults.eps_key = "layer_norm_eps";
  defaults.eps = 1e-5;
  defaults.activation = activation;
  return defaults;
}

RopeRequest PartialRope(const CommonSizes& sizes, double partial) {
  RopeRequest rope;
  rope.head_dim = sizes.head_dim;
  rope.max_positions = sizes.max_positions;
  rope.partial = true;
  rope.default_partial = partial;
  return rope;
}

Architecture Start(FamilyContext& context, const CommonSizes& sizes, const std::string& embedding,
                   const std::string& norm, const std::string& head) {
  Architecture a;
  a.family = context.model_type;
  a.vocab_size = sizes.vocab;
  a.hidden_size = sizes.hidden;
  a.max_positions = sizes.max_positions;
  a.embedding = embedding + ".weight";
  a.final_norm = LayerNorm(norm, sizes.eps);
  a.head = HeadOrTied(context, a, head, false);
  return a;
}

// A norm whose weight each head has for itself: MODULE.norms.N.weight.
NormSpec NormOfEachHead(const std::string& module, std::uint64_t heads, double eps) {
  NormSpec norm = BareLayerNorm(eps);
  for (std::uint64_t h = 0; h < heads; ++h)
    norm.head_weights.push_back(fmt::format("{}.norms.{}.weight", module, h));
  return norm;
}

}  // namespace

Architecture BuildGptNeoX(FamilyContext& context) {
  ConfigReader& c = context.config;
  SizeDefaults defaults = Defaults(2048, "gelu");
  defaults.kv_heads_key = nullptr;
  defaults.head_dim_key = nullptr;
  const CommonSizes sizes = ReadSizes(context, defaults);
  static constexpr std::array kPrefixes = {"gpt_neox.", ""};
  const std::string prefix = FindPrefix(context, kPrefixes, "embed_in.weight");
  const bool renamed =
      context.has_tensor("lm_head.weight") && !context.has_tensor("embed_out.weight");
  Architecture a = Start(context, sizes, prefix + "embed_in", prefix + "final_layer_norm",
                         renamed ? "lm_head" : "embed_out");
  RopeRequest rope = PartialRope(sizes, 0.25);
  rope.partial_key = "rotary_pct";
  rope.theta_key = "rotary_emb_base";
  // A head_dim says nothing but from what the part is taken.
  rope.head_dim = c.Count("head_dim", 1, kMaxWidth, sizes.head_dim);
  a.ropes.push_back(ReadRope(c, rope));
  if (a.ropes.back().dims > sizes.head_dim)
    c.Fail(fmt::format("'head_dim' is {}: {} of a head's {} dimensions cannot be rotated",
                       rope.head_dim, a.ropes.back().dims, sizes.head_dim));
  const bool parallel = c.Flag("use_parallel_residual", true);
  const bool bias = c.Flag("attention_bias", true);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = fmt::format("{}layers.{}", prefix, i);
    LayerSpec& layer = a.layers.emplace_back();
    layer.residual = parallel ? ResidualKind::kParallel : ResidualKind::kSequential;
    layer.pre_mixer_norm = LayerNorm(module + ".input_layernorm", sizes.eps);
    layer.pre_mlp_norm = LayerNorm(module + ".post_attention_layernorm", sizes.eps);
    layer.attention = AttentionSizes(sizes);
    FuseGroups(module + ".attention.query_key_value", sizes, bias, layer.attention);
    layer.attention.o = Linear(module + ".attention.dense", sizes.hidden, sizes.hidden, bias);
    layer.mlp = PlainMlp(module + ".mlp.dense_h_to_4h", module + ".mlp.dense_4h_to_h", sizes.hidden,
                         sizes.intermediate, sizes.activation, true);
  }
  return a;
}

Architecture BuildPhi(FamilyContext& context) {
  ConfigReader& c = context.config;
  const CommonSizes sizes = ReadSizes(context, Defaults(2048, "gelu_new"));
  const std::string prefix = TensorPrefix(context);
  Architecture a =
      Start(context, sizes, prefix + "embed_tokens", prefix + "final_layernorm", "lm_head");
  a.ropes.push_back(ReadRope(c, PartialRope(sizes, 0.5)));
  const bool head_norms = c.Flag("qk_layernorm", false);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = fmt::format("{}layers.{}", prefix, i);
    const std::string attention = module + ".self_attn";
    LayerSpec& layer = a.layers.emplace_back();
    layer.residual = ResidualKind::kParallel;
    layer.pre_mixer_norm = LayerNorm(module + ".input_layernorm", sizes.eps);
    layer.attention = SplitAttention(attention, sizes, true, true);
    layer.attention.o =
        Linear(attention + ".dense", sizes.hidden, sizes.heads * sizes.head_dim, true);
    if (head_norms) {
      layer.attention.q_norm = LayerNorm(attention + ".q_layernorm", sizes.eps);
      layer.attention.k_norm = LayerNorm(attention + ".k_layernorm", sizes.eps);
    }
    layer.mlp = PlainMlp(module + ".mlp.fc1", module + ".mlp.fc2", sizes.hidden, sizes.intermediate,
                         sizes.activation, true);
  }
  return a;
}

Architecture BuildStarcoder2(FamilyContext& context) {
  ConfigReader& c = context.config;
  SizeDefaults defaults = Defaults(4096, "gelu_pytorch_tanh");
  defaults.eps_key = "norm_epsilon";
  defaults.kv_heads = 2;
  const CommonSizes sizes = ReadSizes(context, defaults);
  Architecture a = StartArchitecture(context, sizes, true);
  const std::string prefix = TensorPrefix(context);
  a.final_norm = LayerNorm(prefix + "norm", sizes.eps);
  RopeRequest rope;
  rope.head_dim = sizes.head_dim;
  rope.max_positions = sizes.max_positions;
  a.ropes.push_back(ReadRope(c, rope));
  const std::uint64_t window =
      c.Has("sliding_window") ? c.Count("sliding_window", 1, kMaxContext) : 0;
  const bool bias = c.Flag("use_bias", true);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = fmt::format("{}layers.{}", prefix, i);
    LayerSpec& layer = a.layers.emplace_back();
    layer.pre_mixer_norm = LayerNorm(module + ".input_layernorm", sizes.eps);
    layer.pre_mlp_norm = LayerNorm(module + ".post_attention_layernorm", sizes.eps);
    layer.attention = SplitAttention(module + ".self_attn", sizes, bias, bias);
    layer.attention.window = window;
    layer.mlp = PlainMlp(module + ".mlp.c_fc", module + ".mlp.c_proj", sizes.hidden,
                         sizes.intermediate, sizes.activation, bias);
  }
  return a;
}

Architecture BuildStableLm(FamilyContext& context) {
  ConfigReader& c = context.config;
  SizeDefaults defaults = Defaults(4096, "silu");
  defaults.head_dim_key = nullptr;
  const CommonSizes sizes = ReadSizes(context, defaults);
  const std::string prefix = TensorPrefix(context);
  Architecture a = Start(context, sizes, prefix + "embed_tokens", prefix + "norm", "lm_head");
  a.ropes.push_back(ReadRope(c, PartialRope(sizes, 0.25)));
  const bool parallel = c.Flag("use_parallel_residual", false);
  const bool bias = c.Flag("use_qkv_bias", false);
  const bool head_norms = c.Flag("qk_layernorm", false);
  if (head_norms && sizes.layers * sizes.heads > kMaxHeadNorms)
    c.Fail(fmt::format("{} layers of {} heads with a norm each are more than {} norms",
                       sizes.layers, sizes.heads, kMaxHeadNorms));
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = fmt::format("{}layers.{}", prefix, i);
    const std::string attention = module + ".self_attn";
    LayerSpec& layer = a.layers.emplace_back();
    layer.pre_mixer_norm = LayerNorm(module + ".input_layernorm", sizes.eps);
    if (parallel)
      layer.residual = ResidualKind::kParallel;
    else
      layer.pre_mlp_norm = LayerNorm(module + ".post_attention_layernorm", sizes.eps);
    layer.attention = SplitAttention(attention, sizes, bias, false);
    if (head_norms) {
      layer.attention.q_norm = NormOfEachHead(attention + ".q_layernorm", sizes.heads, sizes.eps);
      layer.attention.k_norm =
          NormOfEachHead(attention + ".k_layernorm", sizes.kv_heads, sizes.eps);
    }
    layer.mlp =
        GatedMlp(module + ".mlp", sizes.hidden, sizes.intermediate, sizes.activation, false);
  }
  return a;
}

}  // namespace ingot::model
