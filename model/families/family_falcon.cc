// BLOOM and Falcon: LayerNorm, one matrix for q, k and v, an MLP four times as wide.
//
// BLOOM          ALiBi, a norm after the embedding, q, k, v of a head side by side, all biased
// Falcon (7B)    one key and value for all heads, attention and MLP in parallel after one norm
// Falcon (40B)   "new decoder": groups of heads with their key and value, a norm for each branch
// Falcon (rw)    ALiBi, q, k, v of a head side by side, branches one after the other, biases
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "model/architecture/rope_config.h"
#include "model/families/family.h"

namespace ingot::model {
namespace {

constexpr std::array kPrefixes = {"transformer.", ""};

Architecture Start(FamilyContext& context, const CommonSizes& sizes, const std::string& prefix) {
  Architecture a;
  a.family = context.model_type;
  a.vocab_size = sizes.vocab;
  a.hidden_size = sizes.hidden;
  a.max_positions = sizes.max_positions;
  a.embedding = prefix + "word_embeddings.weight";
  a.final_norm = LayerNorm(prefix + "ln_f", sizes.eps);
  a.head = HeadOrTied(context, a, "lm_head", true);
  return a;
}

SizeDefaults Defaults() {
  SizeDefaults defaults;
  defaults.eps_key = "layer_norm_epsilon";
  defaults.eps = 1e-5;
  defaults.intermediate_is_four_hidden = true;
  defaults.head_dim_key = nullptr;
  return defaults;
}

// What a Falcon config leaves to choose.
struct FalconTraits {
  bool new_decoder = false;
  bool multi_query = true;
  bool parallel = true;
  bool bias = false;
  bool alibi = false;
  std::uint64_t norms = 1;  // of parallel branches
};

// The first releases called themselves RefinedWeb (40B) and RefinedWebModel (7B, rw).
FalconTraits ReadTraits(ConfigReader& c, const std::string& model_type) {
  FalconTraits traits;
  traits.new_decoder = c.Flag("new_decoder_architecture", model_type == "RefinedWeb");
  traits.multi_query = c.Flag("multi_query", model_type != "RefinedWebModel");
  traits.parallel = c.Flag("parallel_attn", true);
  traits.bias = c.Flag("bias", false);
  traits.alibi = c.Flag("alibi", false);
  traits.norms = c.Count("num_ln_in_parallel_attn", 1, 2, traits.new_decoder ? 2 : 1);
  if (traits.new_decoder && !traits.parallel)
    c.Fail(
        "'new_decoder_architecture' is true and 'parallel_attn' false: no such model is defined");
  if (!traits.new_decoder && traits.norms == 2)
    c.Fail("'num_ln_in_parallel_attn' is 2 without 'new_decoder_architecture'");
  return traits;
}

AttentionSpec FalconAttention(const FalconTraits& traits, const CommonSizes& sizes,
                              const std::string& module) {
  AttentionSpec attention = AttentionSizes(sizes);
  const std::string fused = module + ".query_key_value";
  if (!traits.new_decoder && traits.multi_query)
    FuseBlocks(fused, sizes, traits.bias, false, attention);
  else
    FuseGroups(fused, sizes, traits.bias, attention);
  attention.o = Linear(module + ".dense", sizes.hidden, sizes.hidden, traits.bias);
  attention.alibi = traits.alibi;
  attention.alibi_bf16 = traits.alibi;
  attention.alibi_scale = attention.scale;
  return attention;
}

LayerSpec FalconLayer(const FalconTraits& traits, const CommonSizes& sizes,
                      const std::string& module) {
  LayerSpec layer;
  if (traits.parallel && traits.norms == 2) {
    layer.pre_mixer_norm = LayerNorm(module + ".ln_attn", sizes.eps);
    layer.pre_mlp_norm = LayerNorm(module + ".ln_mlp", sizes.eps);
  } else {
    layer.pre_mixer_norm = LayerNorm(module + ".input_layernorm", sizes.eps);
    if (!traits.parallel)
      layer.pre_mlp_norm = LayerNorm(module + ".post_attention_layernorm", sizes.eps);
  }
  if (traits.parallel) layer.residual = ResidualKind::kParallel;
  layer.attention = FalconAttention(traits, sizes, module + ".self_attention");
  layer.mlp = PlainMlp(module + ".mlp.dense_h_to_4h", module + ".mlp.dense_4h_to_h", sizes.hidden,
                       sizes.intermediate, sizes.activation, traits.bias);
  return layer;
}

}  // namespace

Architecture BuildBloom(FamilyContext& context) {
  ConfigReader& c = context.config;
  SizeDefaults defaults = Defaults();
  defaults.hidden_key = "n_embed";
  defaults.hidden_key_first = true;
  defaults.layers_key = "n_layer";
  defaults.heads_key = "n_head";
  defaults.kv_heads_key = nullptr;
  defaults.positions_key = "seq_length";
  defaults.intermediate_key = nullptr;
  defaults.activation_key = nullptr;
  defaults.activation = "gelu_new";
  const CommonSizes sizes = ReadSizes(context, defaults);
  const std::string prefix = FindPrefix(context, kPrefixes, "word_embeddings.weight");
  Architecture a = Start(context, sizes, prefix);
  a.embedding_norm = LayerNorm(prefix + "word_embeddings_layernorm", sizes.eps);
  if (c.Flag("apply_residual_connection_post_layernorm", false))
    c.Fail(Unsupported(c.where() +
                       ": 'apply_residual_connection_post_layernorm' is true: residuals "
                       "of normalized states are not supported"));
  // The reference then adds slices of products and leaves biases out.
  if (c.Flag("slow_but_exact", false) && c.Count("pretraining_tp", 1, kMaxWidth, 1) > 1)
    c.Fail(Unsupported(c.where() +
                       ": 'slow_but_exact' is true with a 'pretraining_tp' above 1, which is not "
                       "supported"));
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = fmt::format("{}h.{}", prefix, i);
    LayerSpec& layer = a.layers.emplace_back();
    layer.pre_mixer_norm = LayerNorm(module + ".input_layernorm", sizes.eps);
    layer.attention = AttentionSizes(sizes);
    layer.attention.alibi = true;
    FuseGroups(module + ".self_attention.query_key_value", sizes, true, layer.attention);
    layer.attention.o = Linear(module + ".self_attention.dense", sizes.hidden, sizes.hidden, true);
    layer.pre_mlp_norm = LayerNorm(module + ".post_attention_layernorm", sizes.eps);
    layer.mlp = PlainMlp(module + ".mlp.dense_h_to_4h", module + ".mlp.dense_4h_to_h", sizes.hidden,
                         sizes.intermediate, sizes.activation, true);
  }
  return a;
}

Architecture BuildFalcon(FamilyContext& context) {
  ConfigReader& c = context.config;
  const FalconTraits traits = ReadTraits(c, context.model_type);
  SizeDefaults defaults = Defaults();
  const bool renamed = context.model_type != "falcon";
  if (c.Has("n_embed")) {
    defaults.hidden_key = "n_embed";
    defaults.hidden_key_first = true;
  }
  if (renamed) {
    defaults.layers_key = "n_layer";
    defaults.heads_key = "n_head";
  }
  defaults.kv_heads_key = !traits.new_decoder ? nullptr : renamed ? "n_head_kv" : "num_kv_heads";
  defaults.intermediate_key = "ffn_hidden_size";
  defaults.activation_key = "activation";
  defaults.activation = "gelu";
  CommonSizes sizes = ReadSizes(context, defaults);
  if (!traits.new_decoder && traits.multi_query) sizes.kv_heads = 1;
  const std::string prefix = FindPrefix(context, kPrefixes, "word_embeddings.weight");
  Architecture a = Start(context, sizes, prefix);
  if (!traits.alibi) {
    RopeRequest rope;
    rope.head_dim = sizes.head_dim;
    rope.max_positions = sizes.max_positions;
    a.ropes.push_back(ReadRope(c, rope));
  }
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i)
    a.layers.push_back(FalconLayer(traits, sizes, fmt::format("{}h.{}", prefix, i)));
  return a;
}

}  // namespace ingot::model
