// OPT and Galactica: learned positions that start at row 2, an MLP of two matrices with ReLU or
// GELU. The 350M member normalizes after each branch, has no final norm, and its embedding is
// narrower than its layers, between projections.
#include <fmt/format.h>

#include <array>

#include "model/families/family.h"

namespace ingot::model {
namespace {

constexpr std::uint64_t kPositionOffset = 2;
constexpr double kEps = 1e-5;  // LayerNorm's own, no key names it

struct OptTraits {
  bool pre_norms = true;
  bool bias = true;
  bool affine = true;  // norms have weights
};

NormSpec OptNorm(const OptTraits& traits, const std::string& module) {
  return traits.affine ? LayerNorm(module, kEps) : BareLayerNorm(kEps);
}

LayerSpec BuildLayer(const OptTraits& traits, const CommonSizes& sizes, const std::string& module) {
  LayerSpec layer;
  const std::string attention = module + ".self_attn";
  const NormSpec first = OptNorm(traits, module + ".self_attn_layer_norm");
  const NormSpec second = OptNorm(traits, module + ".final_layer_norm");
  if (traits.pre_norms) {
    layer.pre_mixer_norm = first;
    layer.pre_mlp_norm = second;
  } else {
    layer.residual = ResidualKind::kPostNorm;
    layer.post_mixer_norm = first;
    layer.post_mlp_norm = second;
  }
  layer.attention = SplitAttention(attention, sizes, traits.bias, false);
  layer.attention.o = Linear(attention + ".out_proj", sizes.hidden, sizes.hidden, traits.bias);
  layer.mlp = PlainMlp(module + ".fc1", module + ".fc2", sizes.hidden, sizes.intermediate,
                       sizes.activation, traits.bias);
  return layer;
}

// The embedding's width where it is not the layers', with what leads in and out.
void AddProjections(ConfigReader& c, const CommonSizes& sizes, const std::string& prefix,
                    Architecture& a) {
  const std::uint64_t width = c.Count("word_embed_proj_dim", 1, kMaxWidth, sizes.hidden);
  if (width == sizes.hidden) return;
  a.embedding_size = width;
  a.embedding_projection = Linear(prefix + "project_in", sizes.hidden, width, false);
  a.head_projection = Linear(prefix + "project_out", width, sizes.hidden, false);
  a.head.cols = width;
}

}  // namespace

Architecture BuildOpt(FamilyContext& context) {
  ConfigReader& c = context.config;
  SizeDefaults defaults;
  defaults.kv_heads_key = nullptr;
  defaults.intermediate_key = "ffn_dim";
  defaults.head_dim_key = nullptr;
  defaults.activation_key = "activation_function";
  defaults.activation = "relu";
  const CommonSizes sizes = ReadSizes(context, defaults);
  OptTraits traits;
  traits.pre_norms = c.Flag("do_layer_norm_before", true);
  traits.bias = c.Flag("enable_bias", true);
  traits.affine = c.Flag("layer_norm_elementwise_affine", true);
  static constexpr std::array kPrefixes = {"model.decoder.", "decoder.", ""};
  const std::string prefix = FindPrefix(context, kPrefixes, "embed_tokens.weight");
  Architecture a;
  a.family = context.model_type;
  a.vocab_size = sizes.vocab;
  a.hidden_size = sizes.hidden;
  a.max_positions = sizes.max_positions;
  a.embedding = prefix + "embed_tokens.weight";
  a.position_embedding = prefix + "embed_positions.weight";
  a.position_offset = kPositionOffset;
  const bool no_final_norm = c.Flag("_remove_final_layer_norm", false);
  if (traits.pre_norms && !no_final_norm)
    a.final_norm = OptNorm(traits, prefix + "final_layer_norm");
  a.head = HeadOrTied(context, a, "lm_head", true);
  AddProjections(c, sizes, prefix, a);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i)
    a.layers.push_back(BuildLayer(traits, sizes, fmt::format("{}layers.{}", prefix, i)));
  return a;
}

}  // namespace ingot::model
