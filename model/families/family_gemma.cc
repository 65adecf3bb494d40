// Gemma 1, 2 and the text model of Gemma 3: RMSNorm by 1 + weight, scaled embeddings; from Gemma 2
// on norms after both branches and windows on some layers.
//
// The embedding scale sqrt(hidden_size) is exact here. transformers rounds it to the dtype that it
// runs in (in bfloat16 3072^0.5 = 55.43 becomes 55.5); in float32 the two agree.
#include <cmath>

#include "model/architecture/rope_config.h"
#include "model/families/family.h"

namespace ingot::model {
namespace {

constexpr double kNormOffset = 1;

struct GemmaTraits {
  bool post_norms;                // Gemma 2, 3
  bool head_norms;                // Gemma 3
  std::uint64_t default_pattern;  // every n-th layer sees everything, 0: all of them
  double default_attention_softcap, default_logit_softcap;
};

GemmaTraits TraitsOf(const std::string& model_type) {
  if (model_type == "gemma2") return {true, false, 2, 50, 30};
  if (model_type == "gemma3_text") return {true, true, 6, 0, 0};
  return {false, false, 0, 0, 0};
}

double SoftCap(ConfigReader& config, const char* key, double otherwise) {
  if (config.IsNull(key)) return 0;
  const double cap = config.Number(key, otherwise);
  if (cap < 0) config.Fail(std::string("'") + key + "' is below 0");
  return cap;
}

// ropes[0] serves layers that see everything, ropes[1] (Gemma 3) those within the window.
void AddRopes(FamilyContext& context, const CommonSizes& sizes, Architecture& a) {
  RopeRequest rope;
  rope.head_dim = sizes.head_dim;
  rope.max_positions = sizes.max_positions;
  const bool two = context.model_type == "gemma3_text";
  if (two) {
    rope.layer_type = "full_attention";
    rope.default_theta = 1e6;
  }
  a.ropes.push_back(ReadRope(context.config, rope));
  if (!two) return;
  rope.layer_type = "sliding_attention";
  rope.default_theta = 10000;
  rope.theta_key = "rope_local_base_freq";
  rope.scaling_key = "";
  a.ropes.push_back(ReadRope(context.config, rope));
}

LayerSpec BuildLayer(FamilyContext& context, const GemmaTraits& traits, const CommonSizes& sizes,
                     const std::string& module) {
  const auto norm = [&](const std::string& name) {
    return RmsNorm(module + name, sizes.eps, kNormOffset);
  };
  LayerSpec layer;
  const std::string attention = module + ".self_attn";
  const bool bias = BiasFlag(context, "attention_bias", attention + ".q_proj.bias");
  layer.attention = SplitAttention(attention, sizes, bias, bias);
  if (traits.head_norms) {
    layer.attention.q_norm = norm(".self_attn.q_norm");
    layer.attention.k_norm = norm(".self_attn.k_norm");
  }
  layer.mlp = GatedMlp(module + ".mlp", sizes.hidden, sizes.intermediate, sizes.activation, false);
  layer.pre_mixer_norm = norm(".input_layernorm");
  if (traits.post_norms) {
    layer.post_mixer_norm = norm(".post_attention_layernorm");
    layer.pre_mlp_norm = norm(".pre_feedforward_layernorm");
    layer.post_mlp_norm = norm(".post_feedforward_layernorm");
  } else {
    layer.pre_mlp_norm = norm(".post_attention_layernorm");
  }
  return layer;
}

CommonSizes ReadGemmaSizes(FamilyContext& context) {
  SizeDefaults defaults{.max_positions = 8192, .head_dim = 256, .eps = 1e-6};
  if (context.model_type == "gemma3_text") defaults.max_positions = 131072;
  // Gemma 1's own files say "gelu" in hidden_act where the tanh form is meant. Later ones have a
  // key of another name.
  defaults.activation_key = context.model_type == "gemma" ? "hidden_act" : "hidden_activation";
  defaults.activation = "gelu_pytorch_tanh";
  CommonSizes sizes = ReadSizes(context, defaults);
  if (context.model_type == "gemma" && context.config.Text("hidden_act", "") == "gelu")
    sizes.activation = Activation::kGeluTanh;
  return sizes;
}

}  // namespace

Architecture BuildGemma(FamilyContext& context) {
  ConfigReader& c = context.config;
  c.Demand("use_bidirectional_attention", false,
           "embedding models, whose tokens see those after them, are not supported");
  const GemmaTraits traits = TraitsOf(context.model_type);
  const CommonSizes sizes = ReadGemmaSizes(context);
  Architecture a = StartArchitecture(context, sizes, true, kNormOffset);
  a.embedding_scale = std::sqrt(static_cast<double>(sizes.hidden));
  if (traits.post_norms)
    a.logit_softcap = SoftCap(c, "final_logit_softcapping", traits.default_logit_softcap);
  AddRopes(context, sizes, a);
  // Gemma 3 has the key and does not use it.
  const double softcap =
      traits.head_norms || !traits.post_norms
          ? 0
          : SoftCap(c, "attn_logit_softcapping", traits.default_attention_softcap);
  const double scale = 1 / std::sqrt(traits.post_norms ? c.Positive("query_pre_attn_scalar", 256)
                                                       : static_cast<double>(sizes.head_dim));
  std::uint64_t window = 0;
  if (traits.default_pattern != 0 && !c.IsNull("sliding_window"))
    window = c.Count("sliding_window", 1, kMaxContext, 4096);
  std::uint64_t pattern = traits.default_pattern;
  if (context.model_type == "gemma3_text")
    pattern = c.Count("sliding_window_pattern", 1, kMaxLayers, pattern);
  std::vector<bool> sliding(sizes.layers);
  if (pattern != 0)
    sliding = SlidingLayers(context, sizes.layers,
                            [&](std::uint64_t i) { return (i + 1) % pattern != 0; });
  const std::string prefix = TensorPrefix(context);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    a.layers.push_back(BuildLayer(context, traits, sizes, prefix + "layers." + std::to_string(i)));
    AttentionSpec& attention = a.layers.back().attention;
    attention.scale = scale;
    attention.softcap = softcap;
    attention.window = sliding[i] ? window : 0;
    attention.rope = sliding[i] && a.ropes.size() > 1 ? 1 : 0;
  }
  return a;
}

}  // namespace ingot::model
