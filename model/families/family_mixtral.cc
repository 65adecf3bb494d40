// Mixtral, Qwen2-MoE, Qwen3-MoE and OLMoE: LLaMA whose MLP is a router over gated experts.
// Qwen2-MoE adds an expert that every token visits; OLMoE normalizes q and k over all heads.
#include <fmt/format.h>

#include "model/architecture/rope_config.h"
#include "model/families/family.h"

namespace ingot::model {
namespace {

struct MoeTraits {
  const char* model_type;
  const char* block;             // of the MoE module
  const char *gate, *up, *down;  // of an expert's matrices
  const char* experts_key;
  const char* experts_alias;     // nullptr: none
  const char* expert_width_key;  // size of an expert
  SizeDefaults sizes;
  std::uint64_t experts, per_token;      // where the config is silent
  bool normalize;                        // norm_topk_prob where the config is silent
  bool always_normalizes = false;        // and there is no such key
  const char* attention_bias = nullptr;  // the key of biases of q, k, v and o, nullptr: none
  bool windows = true;
  double theta = 10000;
  bool head_norms = false;      // q and k normalized in each head
  bool wide_norms = false;      // over all heads
  bool dense_layers = false;    // may mix dense layers in
  bool flagged_window = false;  // the window needs use_sliding_window
  bool shared_expert = false;
  bool qkv_bias = false;  // Qwen2-MoE has a key for it, true where it is silent
};

constexpr MoeTraits kFamilies[] = {
    {.model_type = "mixtral",
     .block = ".block_sparse_moe",
     .gate = ".w1",
     .up = ".w3",
     .down = ".w2",
     .experts_key = "num_local_experts",
     .experts_alias = "num_experts",
     .expert_width_key = "intermediate_size",
     .sizes = {.max_positions = 131072, .kv_heads = 8, .eps = 1e-5},
     .experts = 8,
     .per_token = 2,
     .normalize = true,
     .always_normalizes = true,
     .theta = 1e6},
    {.model_type = "qwen2_moe",
     .block = ".mlp",
     .gate = ".gate_proj",
     .up = ".up_proj",
     .down = ".down_proj",
     .experts_key = "num_experts",
     .experts_alias = nullptr,
     .expert_width_key = "moe_intermediate_size",
     .sizes = {.max_positions = 32768},
     .experts = 60,
     .per_token = 4,
     .normalize = false,
     .dense_layers = true,
     .flagged_window = true,
     .shared_expert = true,
     .qkv_bias = true},
    {.model_type = "qwen3_moe",
     .block = ".mlp",
     .gate = ".gate_proj",
     .up = ".up_proj",
     .down = ".down_proj",
     .experts_key = "num_experts",
     .experts_alias = "num_local_experts",
     .expert_width_key = "moe_intermediate_size",
     .sizes = {.max_positions = 32768, .kv_heads = 4},
     .experts = 128,
     .per_token = 8,
     .normalize = false,
     .attention_bias = "attention_bias",
     .head_norms = true,
     .dense_layers = true,
     .flagged_window = true},
    {.model_type = "olmoe",
     .block = ".mlp",
     .gate = ".gate_proj",
     .up = ".up_proj",
     .down = ".down_proj",
     .experts_key = "num_experts",
     .experts_alias = "num_local_experts",
     .expert_width_key = "intermediate_size",
     .sizes = {.max_positions = 4096, .eps = 1e-5},
     .experts = 64,
     .per_token = 8,
     .normalize = false,
     .attention_bias = "attention_bias",
     .windows = false,
     .wide_norms = true},
};

const MoeTraits& TraitsOf(const std::string& model_type) {
  for (const MoeTraits& traits : kFamilies)
    if (model_type == traits.model_type) return traits;
  return kFamilies[0];
}

struct MoeSizes {
  std::uint64_t experts = 0, per_token = 0, width = 0, shared_width = 0;
  bool normalize = true;
};

MoeSizes ReadMoeSizes(ConfigReader& c, const MoeTraits& traits, const CommonSizes& sizes) {
  MoeSizes moe;
  // Where a file has both names of the count, the alias is the one that is set last.
  const char* experts_key = traits.experts_alias != nullptr && c.Has(traits.experts_alias)
                                ? traits.experts_alias
                                : traits.experts_key;
  moe.experts = c.Count(experts_key, 1, kMaxExperts, traits.experts);
  moe.width = c.Count(traits.expert_width_key, 1, kMaxWidth);
  moe.per_token = c.Count("num_experts_per_tok", 1, kMaxExperts, traits.per_token);
  moe.normalize =
      traits.always_normalizes ? traits.normalize : c.Flag("norm_topk_prob", traits.normalize);
  if (traits.shared_expert)
    moe.shared_width = c.Count("shared_expert_intermediate_size", 0, kMaxWidth, 5632);
  if (moe.per_token > moe.experts)
    c.Fail(fmt::format("'num_experts_per_tok' is {}, but there are {} experts", moe.per_token,
                       moe.experts));
  if (sizes.layers * moe.experts > kMaxExpertsTotal)
    c.Fail(fmt::format("{} layers of {} experts are more than {} experts", sizes.layers,
                       moe.experts, kMaxExpertsTotal));
  return moe;
}

MlpSpec MoeMlp(const std::string& module, const MoeTraits& traits, const CommonSizes& sizes,
               const MoeSizes& moe) {
  MlpSpec mlp;
  mlp.kind = MlpKind::kMoe;
  mlp.activation = sizes.activation;
  mlp.router = Linear(module + ".gate", moe.experts, sizes.hidden, false);
  mlp.experts_per_token = moe.per_token;
  mlp.normalize_expert_weights = moe.normalize;
  for (std::uint64_t e = 0; e < moe.experts; ++e) {
    const std::string expert = fmt::format("{}.experts.{}", module, e);
    MlpSpec& spec = mlp.experts.emplace_back();
    spec.activation = sizes.activation;
    spec.gate = Linear(expert + traits.gate, moe.width, sizes.hidden, false);
    spec.up = Linear(expert + traits.up, moe.width, sizes.hidden, false);
    spec.down = Linear(expert + traits.down, sizes.hidden, moe.width, false);
  }
  if (moe.shared_width > 0) {
    mlp.shared_expert.push_back(GatedMlp(module + ".shared_expert", sizes.hidden, moe.shared_width,
                                         sizes.activation, false));
    mlp.shared_gate = Linear(module + ".shared_expert_gate", 1, sizes.hidden, false);
  }
  return mlp;
}

std::vector<bool> DenseLayers(ConfigReader& c, const MoeTraits& traits, std::uint64_t layers) {
  std::vector<bool> dense(layers, false);
  if (!traits.dense_layers) return dense;
  const std::uint64_t step = c.Count("decoder_sparse_step", 1, kMaxLayers, 1);
  for (std::uint64_t i = 0; i < layers; ++i) dense[i] = (i + 1) % step != 0;
  if (const Json* only = c.Find("mlp_only_layers"); only != nullptr && only->is_array())
    for (const Json& index : *only)
      if (index.is_number_integer() && index >= 0 && index < layers)
        dense[index.get<std::uint64_t>()] = true;
  return dense;
}

// The window of each layer, 0: none.
std::vector<std::uint64_t> Windows(FamilyContext& context, const MoeTraits& traits,
                                   std::uint64_t layers) {
  ConfigReader& c = context.config;
  std::vector<std::uint64_t> windows(layers, 0);
  if (!traits.windows) return windows;
  const bool by_layer = traits.qkv_bias;  // Qwen2-MoE: every other one of the first layers
  if (traits.flagged_window && !c.Flag("use_sliding_window", false)) {
    if (by_layer) CheckNoSlidingLayers(context);
    return windows;
  }
  // Absent it is the class's default (Qwen's: 4096), null it is none.
  if (c.IsNull("sliding_window") || (!traits.flagged_window && !c.Has("sliding_window")))
    return windows;
  const std::uint64_t window = c.Count("sliding_window", 1, kMaxContext, 4096);
  if (!by_layer) return std::vector<std::uint64_t>(layers, window);
  const std::uint64_t most = c.Count("max_window_layers", 0, kMaxContext, 28);
  const std::vector<bool> sliding =
      SlidingLayers(context, layers, [&](std::uint64_t i) { return i % 2 == 0 && i < most; });
  for (std::uint64_t i = 0; i < layers; ++i) windows[i] = sliding[i] ? window : 0;
  return windows;
}

AttentionSpec MoeAttention(FamilyContext& context, const MoeTraits& traits,
                           const CommonSizes& sizes, const std::string& module) {
  ConfigReader& c = context.config;
  const bool bias = BiasFlag(context, traits.attention_bias, module + ".q_proj.bias");
  AttentionSpec attention = traits.qkv_bias
                                ? SplitAttention(module, sizes, c.Flag("qkv_bias", true), false)
                                : SplitAttention(module, sizes, bias, bias);
  if (traits.head_norms || traits.wide_norms) {
    attention.q_norm = RmsNorm(module + ".q_norm", sizes.eps);
    attention.k_norm = RmsNorm(module + ".k_norm", sizes.eps);
    attention.norm_all_heads = traits.wide_norms;
  }
  if (traits.wide_norms && c.Has("clip_qkv")) attention.clip_qkv = c.Positive("clip_qkv");
  return attention;
}

}  // namespace

Architecture BuildMixtral(FamilyContext& context) {
  ConfigReader& c = context.config;
  const MoeTraits& traits = TraitsOf(context.model_type);
  const CommonSizes sizes = ReadSizes(context, traits.sizes);
  const MoeSizes moe = ReadMoeSizes(c, traits, sizes);
  Architecture a = StartArchitecture(context, sizes, false);
  RopeRequest rope;
  rope.head_dim = sizes.head_dim;
  rope.max_positions = sizes.max_positions;
  rope.default_theta = traits.theta;
  a.ropes.push_back(ReadRope(c, rope));
  const std::vector<std::uint64_t> windows = Windows(context, traits, sizes.layers);
  const std::vector<bool> dense = DenseLayers(c, traits, sizes.layers);
  const std::string prefix = TensorPrefix(context);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = fmt::format("{}layers.{}", prefix, i);
    LayerSpec& layer = a.layers.emplace_back();
    layer.attention = MoeAttention(context, traits, sizes, module + ".self_attn");
    layer.attention.window = windows[i];
    layer.pre_mixer_norm = RmsNorm(module + ".input_layernorm", sizes.eps);
    layer.pre_mlp_norm = RmsNorm(module + ".post_attention_layernorm", sizes.eps);
    layer.mlp = dense[i] ? GatedMlp(module + ".mlp", sizes.hidden, sizes.intermediate,
                                    sizes.activation, false)
                         : MoeMlp(module + traits.block, traits, sizes, moe);
  }
  return a;
}

}  // namespace ingot::model
