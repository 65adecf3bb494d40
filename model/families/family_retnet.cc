// RetNet under the names of its public Hugging Face port (model_type "retnet": syncdoth/RetNet,
// after torchscale): retention with a swish gate, RMS norms, a gated MLP or one with a norm inside.
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "model/families/family.h"

namespace ingot::model {
namespace {

struct RetNetSizes {
  std::uint64_t hidden = 0, values = 0, inner = 0, heads = 0, layers = 0;
  double eps = 0;
  Activation activation = Activation::kGelu;
  bool gated = true;        // the MLP is one
  bool inner_norm = false;  // of an MLP that is not
};

RetNetSizes ReadRetNetSizes(FamilyContext& context) {
  ConfigReader& c = context.config;
  RetNetSizes s;
  s.hidden = c.Count("decoder_embed_dim", 1, kMaxWidth, c.Count("hidden_size", 1, kMaxWidth, 768));
  s.values = c.Count("decoder_value_embed_dim", 1, kMaxWidth, 1280);
  s.inner = c.Count("decoder_ffn_embed_dim", 1, kMaxWidth,
                    c.Count("intermediate_size", 1, kMaxWidth, 1280));
  s.heads = c.Count("decoder_retention_heads", 1, kMaxWidth,
                    c.Count("num_attention_heads", 1, kMaxWidth, 3));
  s.layers =
      c.Count("decoder_layers", 1, kMaxLayers, c.Count("num_hidden_layers", 1, kMaxLayers, 12));
  s.eps = c.Positive("layernorm_eps", 1e-6);
  s.activation = ReadActivation(context, "activation_fn", "gelu");
  s.gated = c.Flag("use_glu", true);
  s.inner_norm = !s.gated && c.Flag("subln", true);
  if (s.hidden % s.heads != 0 || s.values % s.heads != 0 || s.hidden / s.heads % 2 != 0)
    c.Fail(
        fmt::format("'decoder_embed_dim' {} and 'decoder_value_embed_dim' {} do not divide into "
                    "{} heads of an even size",
                    s.hidden, s.values, s.heads));
  if (c.Flag("deepnorm", false))
    c.Fail(Unsupported(c.where() + ": 'deepnorm' is true, which is not supported"));
  return s;
}

// Angles 10000^-(i / (n - 1)) of pairs (2i, 2i + 1), in float32 as the reference computes them.
RopeSpec RetNetRope(std::uint64_t key_dim) {
  RopeSpec rope;
  rope.dims = key_dim;
  rope.interleaved = true;
  const std::uint64_t pairs = key_dim / 2;
  for (std::uint64_t i = 0; i < pairs; ++i) {
    const float exponent = pairs > 1 ? static_cast<float>(i) / static_cast<float>(pairs - 1) : 0.0f;
    rope.inv_freq.push_back(1.0f / std::pow(10000.0f, exponent));
  }
  return rope;
}

// 1 - 2^-(5 + h), or of language models 1 - x with log x from log 1/32 to log 1/512.
std::vector<double> Decays(std::uint64_t heads, bool language_model) {
  std::vector<double> decays;
  for (std::uint64_t h = 0; h < heads; ++h) {
    const double share = heads > 1 ? static_cast<double>(h) / static_cast<double>(heads - 1) : 0;
    const double power = language_model ? 5 + 4 * share : 5 + static_cast<double>(h);
    decays.push_back(1 - std::exp2(-power));
  }
  return decays;
}

RetentionSpec Retention(const std::string& module, const RetNetSizes& s,
                        const std::vector<double>& decays) {
  RetentionSpec retention;
  retention.heads = s.heads;
  retention.key_dim = s.hidden / s.heads;
  retention.value_dim = s.values / s.heads;
  retention.key_scale = 1 / std::sqrt(static_cast<double>(retention.key_dim));
  retention.decays = decays;
  retention.q = Linear(module + ".q_proj", s.hidden, s.hidden, false);
  retention.k = Linear(module + ".k_proj", s.hidden, s.hidden, false);
  retention.v = Linear(module + ".v_proj", s.values, s.hidden, false);
  retention.gate = Linear(module + ".g_proj", s.values, s.hidden, false);
  retention.out = Linear(module + ".out_proj", s.hidden, s.values, false);
  retention.norm.kind = NormKind::kRms;
  retention.norm.eps = s.eps;
  return retention;
}

MlpSpec RetNetMlp(const std::string& module, const RetNetSizes& s) {
  const bool bias = !s.gated;
  MlpSpec mlp = PlainMlp(module + ".fc1", module + ".fc2", s.hidden, s.inner, s.activation, bias);
  if (s.inner_norm) mlp.inner_norm = LayerNorm(module + ".ffn_layernorm", s.eps);
  if (!s.gated) return mlp;
  mlp.kind = MlpKind::kGated;
  mlp.gate = mlp.up;  // the activation is of fc1, and "gate" what it is multiplied with
  mlp.up = Linear(module + ".gate", s.inner, s.hidden, false);
  return mlp;
}

}  // namespace

Architecture BuildRetNet(FamilyContext& context) {
  static constexpr std::array kPrefixes = {"model.", ""};
  ConfigReader& c = context.config;
  const RetNetSizes sizes = ReadRetNetSizes(context);
  const std::string prefix = FindPrefix(context, kPrefixes, "embed_tokens.weight");
  Architecture a;
  a.family = context.model_type;
  a.vocab_size = c.Count("vocab_size", 1, kMaxVocab, 50257);
  a.hidden_size = sizes.hidden;
  a.max_positions = kMaxContext;  // a state has no longest sequence
  a.embedding = prefix + "embed_tokens.weight";
  if (!c.Flag("no_scale_embedding", true))
    a.embedding_scale = std::sqrt(static_cast<double>(sizes.hidden));
  if (c.Flag("layernorm_embedding", false))
    a.embedding_norm = RmsNorm(prefix + "layernorm_embedding", sizes.eps);
  // Sub-LN implies pre-norm, as in the port's config class.
  const bool before = c.Flag("subln", true) || c.Flag("decoder_normalize_before", true);
  if (before) a.final_norm = RmsNorm(prefix + "layer_norm", sizes.eps);
  a.head = HeadOrTied(context, a, "lm_head", false);
  if (!c.status().ok()) return a;
  a.ropes.push_back(RetNetRope(sizes.hidden / sizes.heads));
  const std::vector<double> decays = Decays(sizes.heads, c.Flag("use_lm_decay", false));
  for (std::uint64_t i = 0; i < sizes.layers; ++i) {
    const std::string module = fmt::format("{}layers.{}", prefix, i);
    LayerSpec& layer = a.layers.emplace_back();
    layer.residual = before ? ResidualKind::kSequential : ResidualKind::kPostNorm;
    layer.mixer = MixerKind::kRetention;
    layer.retention = Retention(module + ".retention", sizes, decays);
    layer.mlp = RetNetMlp(module + ".ffn", sizes);
    (before ? layer.pre_mixer_norm : layer.post_mixer_norm) =
        RmsNorm(module + ".retention_layer_norm", sizes.eps);
    (before ? layer.pre_mlp_norm : layer.post_mlp_norm) =
        RmsNorm(module + ".final_layer_norm", sizes.eps);
  }
  return a;
}

}  // namespace ingot::model
