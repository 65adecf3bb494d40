// Hybrids: Jamba (Mamba, attention without positions, mixtures of experts) and Bamba (Mamba-2 and
// attention). Which layer attends, and which has experts, is a rule of the config.
#include <fmt/format.h>

#include <algorithm>

#include "model/architecture/rope_config.h"
#include "model/families/family_mamba.h"

namespace ingot::model {
namespace {

// The mamba_* keys that both have.
MambaSizes ReadMambaSizes(ConfigReader& c, const CommonSizes& common, std::uint64_t state) {
  MambaSizes sizes;
  sizes.hidden = common.hidden;
  sizes.inner = common.hidden * c.Count("mamba_expand", 1, 1024, 2);
  if (sizes.inner > kMaxWidth)
    c.Fail(fmt::format("{} inner channels are more than {}", sizes.inner, kMaxWidth));
  sizes.state = c.Count("mamba_d_state", 1, kMaxStateSize, state);
  sizes.kernel = c.Count("mamba_d_conv", 1, kMaxConvKernel, 4);
  sizes.bias = c.Flag("mamba_proj_bias", false);
  sizes.conv_bias = c.Flag("mamba_conv_bias", true);
  sizes.activation = common.activation;
  return sizes;
}

// Layers offset, offset + period, ... are special.
struct Every {
  std::uint64_t period = 1, offset = 0;
  bool Has(std::uint64_t layer) const { return layer % period == offset; }
};

Every ReadEvery(ConfigReader& c, const char* period, const char* offset, Every otherwise) {
  Every every;
  every.period = c.Count(period, 1, kMaxLayers, otherwise.period);
  every.offset = c.Count(offset, 0, kMaxLayers, otherwise.offset);
  if (every.offset >= every.period)
    c.Fail(fmt::format("'{}' is {}, it has to be below '{}' {}", offset, every.offset, period,
                       every.period));
  return every;
}

// Embedding, head, and a layer each with its norms; the final norm has a name of its own.
Architecture StartHybrid(FamilyContext& context, const CommonSizes& sizes) {
  Architecture a = StartArchitecture(context, sizes, false);
  const std::string prefix = TensorPrefix(context);
  a.final_norm = RmsNorm(prefix + "final_layernorm", sizes.eps);
  for (std::uint64_t i = 0; i < sizes.layers; ++i) {
    const std::string module = fmt::format("{}layers.{}", prefix, i);
    LayerSpec& layer = a.layers.emplace_back();
    layer.pre_mixer_norm = RmsNorm(module + ".input_layernorm", sizes.eps);
    layer.pre_mlp_norm = RmsNorm(module + ".pre_ff_layernorm", sizes.eps);
  }
  return a;
}

MlpSpec JambaExperts(const std::string& module, const CommonSizes& sizes, std::uint64_t experts,
                     std::uint64_t per_token) {
  MlpSpec mlp;
  mlp.kind = MlpKind::kMoe;
  mlp.activation = sizes.activation;
  mlp.router = Linear(module + ".router", experts, sizes.hidden, false);
  mlp.experts_per_token = per_token;
  mlp.normalize_expert_weights = false;
  for (std::uint64_t e = 0; e < experts; ++e)
    mlp.experts.push_back(GatedMlp(fmt::format("{}.experts.{}", module, e), sizes.hidden,
                                   sizes.intermediate, sizes.activation, false));
  return mlp;
}

}  // namespace

Architecture BuildJamba(FamilyContext& context) {
  ConfigReader& c = context.config;
  const CommonSizes sizes = ReadSizes(context, {.max_positions = 262144, .kv_heads = 8});
  MambaSizes mamba = ReadMambaSizes(c, sizes, 16);
  mamba.rank = TimeStepRank(c, "mamba_dt_rank", sizes.hidden);
  const Every attends = ReadEvery(c, "attn_layer_period", "attn_layer_offset", {8, 4});
  const Every routes = ReadEvery(c, "expert_layer_period", "expert_layer_offset", {2, 1});
  const std::uint64_t experts =
      c.Count(c.Has("num_local_experts") ? "num_local_experts" : "num_experts", 1, kMaxExperts, 16);
  const std::uint64_t per_token = c.Count("num_experts_per_tok", 1, kMaxExperts, 2);
  if (experts > 1 && per_token > experts)
    c.Fail(
        fmt::format("'num_experts_per_tok' is {}, but there are {} experts", per_token, experts));
  if (sizes.layers * experts > kMaxExpertsTotal)
    c.Fail(fmt::format("{} layers of {} experts are more than {} experts", sizes.layers, experts,
                       kMaxExpertsTotal));
  Architecture a = StartHybrid(context, sizes);
  const std::string prefix = TensorPrefix(context);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = fmt::format("{}layers.{}", prefix, i);
    LayerSpec& layer = a.layers[i];
    if (attends.Has(i)) {
      layer.attention = SplitAttention(module + ".self_attn", sizes, false, false);
    } else {
      layer.mixer = MixerKind::kMamba;
      layer.mamba = MambaMixer(module + ".mamba", mamba);
      layer.mamba.dt_norm = RmsNorm(module + ".mamba.dt_layernorm", sizes.eps);
      layer.mamba.b_norm = RmsNorm(module + ".mamba.b_layernorm", sizes.eps);
      layer.mamba.c_norm = RmsNorm(module + ".mamba.c_layernorm", sizes.eps);
    }
    const std::string feed = module + ".feed_forward";
    layer.mlp = experts > 1 && routes.Has(i)
                    ? JambaExperts(feed, sizes, experts, per_token)
                    : GatedMlp(feed, sizes.hidden, sizes.intermediate, sizes.activation, false);
  }
  return a;
}

Architecture BuildBamba(FamilyContext& context) {
  ConfigReader& c = context.config;
  const CommonSizes sizes =
      ReadSizes(context, {.max_positions = 262144, .kv_heads = 8, .eps = 1e-5});
  MambaSizes mamba = ReadMambaSizes(c, sizes, 256);
  mamba.heads = c.Count("mamba_n_heads", 1, kMaxWidth, 128);
  mamba.groups = c.Count("mamba_n_groups", 1, kMaxWidth, 1);
  CheckMamba2Sizes(c, mamba);
  Architecture a = StartHybrid(context, sizes);
  RopeRequest rope;
  rope.head_dim = sizes.head_dim;
  rope.max_positions = sizes.max_positions;
  rope.partial = true;
  rope.default_partial = 0.5;
  rope.partial_key = "";  // it is fixed but for rope_parameters
  a.ropes.push_back(ReadRope(c, rope));
  const Json indices = c.Has("attn_layer_indices") ? *c.Find("attn_layer_indices") : Json::array();
  if (!indices.is_array()) c.Fail("'attn_layer_indices' is not a list");
  for (const Json& index : indices)
    if (!index.is_number_integer() || index < 0 || index >= sizes.layers)
      c.Fail(fmt::format("'attn_layer_indices' holds what is no layer of {}", sizes.layers));
  const std::string prefix = TensorPrefix(context);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = fmt::format("{}layers.{}", prefix, i);
    LayerSpec& layer = a.layers[i];
    if (std::find(indices.begin(), indices.end(), i) != indices.end()) {
      const std::string attention = module + ".self_attn";
      const bool bias = BiasFlag(context, "attention_bias", attention + ".q_proj.bias");
      layer.attention = SplitAttention(attention, sizes, bias, bias);
    } else {
      layer.mixer = MixerKind::kMamba2;
      layer.mamba2 = Mamba2Mixer(module + ".mamba", mamba, sizes.eps);
      ReadTimeStepLimits(c, "time_step_limit", layer.mamba2);
    }
    const std::string feed = module + ".feed_forward";
    layer.mlp = GatedMlp(feed, sizes.hidden, sizes.intermediate, sizes.activation,
                         BiasFlag(context, "mlp_bias", feed + ".gate_proj.bias"));
  }
  return a;
}

}  // namespace ingot::model
