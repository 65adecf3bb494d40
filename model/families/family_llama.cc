// LLaMA 1-3, Mistral, Qwen2, Qwen3, Granite: RMSNorm, rotary attention with grouped queries, gated
// MLP, sequential residuals. They differ in biases, head norms, windows and constants.
#include <algorithm>

#include "model/architecture/rope_config.h"
#include "model/families/family.h"

namespace ingot::model {
namespace {

// What tells one of these families from another.
struct LlamaTraits {
  const char* model_type;
  SizeDefaults sizes;
  bool qkv_bias_always;  // Qwen2
  // Keys of the biases, nullptr: there are none.
  const char* attention_bias;
  const char* mlp_bias;
  bool head_norms;       // Qwen3
  std::uint64_t window;  // default of sliding_window where the key is absent
  bool window_flagged;   // the window needs use_sliding_window (Qwen)
};

constexpr const char* kAttentionBias = "attention_bias";
constexpr const char* kMlpBias = "mlp_bias";

constexpr LlamaTraits kTraits[] = {
    {"llama", {}, false, kAttentionBias, kMlpBias, false, 0, false},
    {"mistral",
     {.max_positions = 131072, .kv_heads = 8},
     false,
     nullptr,
     nullptr,
     false,
     4096,
     false},
    {"qwen2", {.max_positions = 32768}, true, nullptr, nullptr, false, 4096, true},
    {"qwen3",
     {.max_positions = 32768, .head_dim = 128},
     false,
     kAttentionBias,
     nullptr,
     true,
     4096,
     true},
    {"granite", {}, false, kAttentionBias, kMlpBias, false, 0, false},
};

const LlamaTraits& TraitsOf(const std::string& model_type) {
  for (const LlamaTraits& traits : kTraits)
    if (model_type == traits.model_type) return traits;
  return kTraits[0];
}

// The window of each layer, 0: none.
std::vector<std::uint64_t> Windows(FamilyContext& context, const LlamaTraits& traits,
                                   std::uint64_t layers) {
  ConfigReader& c = context.config;
  std::vector<std::uint64_t> windows(layers, 0);
  if (traits.window == 0) return windows;
  if (traits.window_flagged && !c.Flag("use_sliding_window", false)) {
    CheckNoSlidingLayers(context);
    return windows;
  }
  // An explicit null means no window, an absent key the family's default.
  if (c.IsNull("sliding_window")) return windows;
  const std::uint64_t window = c.Count("sliding_window", 1, kMaxContext, traits.window);
  if (!traits.window_flagged) {
    std::fill(windows.begin(), windows.end(), window);
    return windows;
  }
  const std::uint64_t full_layers = c.Count("max_window_layers", 0, kMaxContext, 28);
  const std::vector<bool> sliding =
      SlidingLayers(context, layers, [&](std::uint64_t i) { return i >= full_layers; });
  for (std::uint64_t i = 0; i < layers; ++i) windows[i] = sliding[i] ? window : 0;
  return windows;
}

LayerSpec BuildLayer(FamilyContext& context, const LlamaTraits& traits, const CommonSizes& sizes,
                     const std::string& module) {
  LayerSpec layer;
  const std::string attention = module + ".self_attn";
  const auto bias = [&](const char* tensor) {
    return BiasFlag(context, traits.attention_bias, attention + tensor);
  };
  layer.pre_mixer_norm = RmsNorm(module + ".input_layernorm", sizes.eps);
  layer.attention = SplitAttention(attention, sizes, traits.qkv_bias_always || bias(".q_proj.bias"),
                                   !traits.qkv_bias_always && bias(".o_proj.bias"));
  if (traits.head_norms) {
    layer.attention.q_norm = RmsNorm(attention + ".q_norm", sizes.eps);
    layer.attention.k_norm = RmsNorm(attention + ".k_norm", sizes.eps);
  }
  layer.pre_mlp_norm = RmsNorm(module + ".post_attention_layernorm", sizes.eps);
  layer.mlp = GatedMlp(module + ".mlp", sizes.hidden, sizes.intermediate, sizes.activation,
                       BiasFlag(context, traits.mlp_bias, module + ".mlp.gate_proj.bias"));
  return layer;
}

// Granite's constants: on the embedding, both branches, the scores and the logits.
void ApplyGraniteMultipliers(ConfigReader& config, Architecture& a) {
  a.embedding_scale = config.Positive("embedding_multiplier", 1);
  a.logit_scale = 1 / config.Positive("logits_scaling", 1);
  const double residual = config.Positive("residual_multiplier", 1);
  const double attention = config.Positive("attention_multiplier", 1);
  for (LayerSpec& layer : a.layers) {
    layer.residual_scale = residual;
    layer.attention.scale = attention;
  }
}

}  // namespace

Architecture BuildLlamaLike(FamilyContext& context) {
  const LlamaTraits& traits = TraitsOf(context.model_type);
  const CommonSizes sizes = ReadSizes(context, traits.sizes);
  Architecture a = StartArchitecture(context, sizes, false);
  RopeRequest rope;
  rope.head_dim = sizes.head_dim;
  rope.max_positions = sizes.max_positions;
  a.ropes.push_back(ReadRope(context.config, rope));
  const std::vector<std::uint64_t> windows = Windows(context, traits, sizes.layers);
  const std::string prefix = TensorPrefix(context);
  for (std::uint64_t i = 0; i < sizes.layers && context.config.status().ok(); ++i) {
    a.layers.push_back(BuildLayer(context, traits, sizes, prefix + "layers." + std::to_string(i)));
    a.layers.back().attention.window = windows[i];
  }
  if (context.model_type == "granite") ApplyGraniteMultipliers(context.config, a);
  return a;
}

}  // namespace ingot::model
