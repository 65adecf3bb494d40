// OLMo and OLMo 2: LLaMA with norms of another kind in other places. OLMo's LayerNorm has no
// weights and q, k, v may be clipped; OLMo 2 normalizes q and k over all heads, and each branch's
// output instead of its input.
#include <fmt/format.h>

#include "model/architecture/rope_config.h"
#include "model/families/family.h"

namespace ingot::model {
namespace {

constexpr double kOlmoEps = 1e-5;  // no key names it

LayerSpec BuildLayer(FamilyContext& context, const CommonSizes& sizes, double clip,
                     const std::string& module) {
  LayerSpec layer;
  const std::string attention = module + ".self_attn";
  const bool bias = BiasFlag(context, "attention_bias", attention + ".q_proj.bias");
  layer.attention = SplitAttention(attention, sizes, bias, bias);
  layer.mlp = GatedMlp(module + ".mlp", sizes.hidden, sizes.intermediate, sizes.activation, false);
  if (context.model_type == "olmo") {
    layer.pre_mixer_norm = layer.pre_mlp_norm = BareLayerNorm(kOlmoEps);
    layer.attention.clip_qkv = clip;
  } else {
    layer.attention.q_norm = RmsNorm(attention + ".q_norm", sizes.eps);
    layer.attention.k_norm = RmsNorm(attention + ".k_norm", sizes.eps);
    layer.attention.norm_all_heads = true;
    layer.post_mixer_norm = RmsNorm(module + ".post_attention_layernorm", sizes.eps);
    layer.post_mlp_norm = RmsNorm(module + ".post_feedforward_layernorm", sizes.eps);
  }
  return layer;
}

}  // namespace

Architecture BuildOlmo(FamilyContext& context) {
  ConfigReader& c = context.config;
  const CommonSizes sizes = ReadSizes(context, {.max_positions = 2048, .eps = 1e-5});
  Architecture a = StartArchitecture(context, sizes, false);
  if (context.model_type == "olmo") a.final_norm = BareLayerNorm(kOlmoEps);
  RopeRequest rope;
  rope.head_dim = sizes.head_dim;
  rope.max_positions = sizes.max_positions;
  a.ropes.push_back(ReadRope(c, rope));
  const double clip = c.Has("clip_qkv") ? c.Positive("clip_qkv") : 0;
  const std::string prefix = TensorPrefix(context);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i)
    a.layers.push_back(BuildLayer(context, sizes, clip, fmt::format("{}layers.{}", prefix, i)));
  return a;
}

}  // namespace ingot::model
