// Mixtral and Qwen3-MoE: LLaMA whose MLP is a router over gated experts.
#include <fmt/format.h>

#include "model/family.h"
#include "model/rope_config.h"

namespace ingot::model {
namespace {

struct MoeTraits {
  bool head_norms;
  const char* block;             // of the MoE module
  const char *gate, *up, *down;  // of an expert's matrices
  const char* experts_key;
  const char* expert_width_key;  // size of an expert
};

constexpr MoeTraits kMixtral = {
    false, ".block_sparse_moe", ".w1", ".w3", ".w2", "num_local_experts", "intermediate_size"};
constexpr MoeTraits kQwen3Moe = {true,         ".mlp",        ".gate_proj",           ".up_proj",
                                 ".down_proj", "num_experts", "moe_intermediate_size"};

struct MoeSizes {
  std::uint64_t experts = 0, per_token = 0, width = 0;
  bool normalize = true;
};

MoeSizes ReadMoeSizes(ConfigReader& c, const MoeTraits& traits, const CommonSizes& sizes) {
  MoeSizes moe;
  moe.experts = c.Count(traits.experts_key, 1, kMaxExperts, &traits == &kMixtral ? 8 : 128);
  moe.width = c.Count(traits.expert_width_key, 1, kMaxWidth);
  moe.per_token = c.Count("num_experts_per_tok", 1, kMaxExperts, &traits == &kMixtral ? 2 : 8);
  // Mixtral always does; Qwen3-MoE asks, and its class says no.
  moe.normalize = c.Flag("norm_topk_prob", &traits == &kMixtral);
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
  return mlp;
}

// Qwen3-MoE may mix dense layers in.
std::vector<bool> DenseLayers(ConfigReader& c, const MoeTraits& traits, std::uint64_t layers) {
  std::vector<bool> dense(layers, false);
  if (&traits == &kMixtral) return dense;
  const std::uint64_t step = c.Count("decoder_sparse_step", 1, kMaxLayers, 1);
  for (std::uint64_t i = 0; i < layers; ++i) dense[i] = (i + 1) % step != 0;
  if (const Json* only = c.Find("mlp_only_layers"); only != nullptr && only->is_array())
    for (const Json& index : *only)
      if (index.is_number_integer() && index >= 0 && index < layers)
        dense[index.get<std::uint64_t>()] = true;
  return dense;
}

}  // namespace

Architecture BuildMixtral(FamilyContext& context) {
  ConfigReader& c = context.config;
  const bool qwen = context.model_type == "qwen3_moe";
  const MoeTraits& traits = qwen ? kQwen3Moe : kMixtral;
  const CommonSizes sizes = ReadSizes(context, {.max_positions = qwen ? 32768u : 131072u,
                                                .kv_heads = qwen ? 4u : 8u,
                                                .eps = qwen ? 1e-6 : 1e-5});
  const MoeSizes moe = ReadMoeSizes(c, traits, sizes);
  Architecture a = StartArchitecture(context, sizes, false);
  RopeRequest rope;
  rope.head_dim = sizes.head_dim;
  rope.max_positions = sizes.max_positions;
  a.ropes.push_back(ReadRope(c, rope));
  const bool windowed = !qwen || c.Flag("use_sliding_window", false);
  const std::uint64_t window = windowed ? c.Count("sliding_window", 0, kMaxContext, 0) : 0;
  const std::vector<bool> dense = DenseLayers(c, traits, sizes.layers);
  const std::string prefix = TensorPrefix(context);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = fmt::format("{}layers.{}", prefix, i);
    const std::string attention = module + ".self_attn";
    LayerSpec& layer = a.layers.emplace_back();
    const bool bias = BiasFlag(context, "attention_bias", attention + ".q_proj.bias");
    layer.attention = SplitAttention(attention, sizes, bias, bias);
    layer.attention.window = window;
    if (traits.head_norms) {
      layer.attention.q_norm = RmsNorm(attention + ".q_norm", sizes.eps);
      layer.attention.k_norm = RmsNorm(attention + ".k_norm", sizes.eps);
    }
    layer.pre_mixer_norm = RmsNorm(module + ".input_layernorm", sizes.eps);
    layer.pre_mlp_norm = RmsNorm(module + ".post_attention_layernorm", sizes.eps);
    layer.mlp = dense[i] ? GatedMlp(module + ".mlp", sizes.hidden, sizes.intermediate,
                                    sizes.activation, false)
                         : MoeMlp(module + traits.block, traits, sizes, moe);
  }
  return a;
}

}  // namespace ingot::model
