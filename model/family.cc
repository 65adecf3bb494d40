#include "model/family.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

namespace ingot::model {

CommonSizes ReadSizes(FamilyContext& context, const SizeDefaults& defaults) {
  ConfigReader& c = context.config;
  CommonSizes s;
  s.vocab = c.Count("vocab_size", 1, kMaxVocab);
  s.hidden = c.Count("hidden_size", 1, kMaxWidth);
  s.intermediate = c.Count("intermediate_size", 1, kMaxWidth);
  s.layers = c.Count("num_hidden_layers", 1, kMaxLayers);
  s.heads = c.Count("num_attention_heads", 1, kMaxWidth);
  s.kv_heads = c.Count("num_key_value_heads", 1, kMaxWidth,
                       defaults.kv_heads != 0 ? defaults.kv_heads : s.heads);
  if (s.heads % s.kv_heads != 0)
    c.Fail(fmt::format("'num_attention_heads' {} is not a multiple of 'num_key_value_heads' {}",
                       s.heads, s.kv_heads));
  const bool has_head_dim = c.Has("head_dim") || defaults.head_dim != 0;
  if (!has_head_dim && s.hidden % s.heads != 0)
    c.Fail(fmt::format("'hidden_size' {} is not a multiple of 'num_attention_heads' {}", s.hidden,
                       s.heads));
  s.head_dim = c.Count("head_dim", 1, kMaxWidth,
                       defaults.head_dim != 0 ? defaults.head_dim : s.hidden / s.heads);
  if (s.head_dim > kMaxWidth / s.heads)
    c.Fail(
        fmt::format("{} heads of {} dimensions are wider than {}", s.heads, s.head_dim, kMaxWidth));
  s.max_positions = c.Count("max_position_embeddings", 1, kMaxContext, defaults.max_positions);
  s.eps = c.Positive("rms_norm_eps", defaults.eps);
  s.activation = ReadActivation(context, defaults.activation_key, defaults.activation);
  return s;
}

std::string TensorPrefix(const FamilyContext& context) {
  const bool bare =
      !context.has_tensor("model.embed_tokens.weight") && context.has_tensor("embed_tokens.weight");
  return bare ? "" : "model.";
}

Activation ReadActivation(FamilyContext& context, const char* key, const char* otherwise) {
  static constexpr std::array<std::pair<std::string_view, Activation>, 8> kNames = {{
      {"silu", Activation::kSilu},
      {"swish", Activation::kSilu},
      {"gelu", Activation::kGelu},
      {"gelu_new", Activation::kGeluTanh},
      {"gelu_pytorch_tanh", Activation::kGeluTanh},
      {"gelu_fast", Activation::kGeluTanh},
      {"gelu_tanh", Activation::kGeluTanh},
      {"relu", Activation::kRelu},
  }};
  const std::string name = context.config.Text(key, otherwise);
  for (const auto& [known, activation] : kNames)
    if (name == known) return activation;
  context.config.Fail(Unsupported(
      fmt::format("{}: '{}' is '{}' (known: silu, gelu, gelu_new, gelu_pytorch_tanh, relu)",
                  context.config.where(), key, name)));
  return Activation::kSilu;
}

LinearRef LinearRows(const std::string& module, std::uint64_t row_begin, std::uint64_t rows,
                     std::uint64_t cols, bool bias) {
  LinearRef ref;
  ref.weight = module + ".weight";
  if (bias) ref.bias = module + ".bias";
  ref.rows = rows;
  ref.cols = cols;
  ref.row_begin = row_begin;
  return ref;
}

LinearRef Linear(const std::string& module, std::uint64_t rows, std::uint64_t cols, bool bias) {
  return LinearRows(module, 0, rows, cols, bias);
}

NormSpec RmsNorm(const std::string& module, double eps, double weight_offset) {
  NormSpec norm;
  norm.kind = NormKind::kRms;
  norm.weight = module + ".weight";
  norm.eps = eps;
  norm.weight_offset = weight_offset;
  return norm;
}

MlpSpec GatedMlp(const std::string& module, std::uint64_t hidden, std::uint64_t intermediate,
                 Activation activation, bool bias) {
  MlpSpec mlp;
  mlp.kind = MlpKind::kGated;
  mlp.activation = activation;
  mlp.gate = Linear(module + ".gate_proj", intermediate, hidden, bias);
  mlp.up = Linear(module + ".up_proj", intermediate, hidden, bias);
  mlp.down = Linear(module + ".down_proj", hidden, intermediate, bias);
  return mlp;
}

AttentionSpec SplitAttention(const std::string& module, const CommonSizes& sizes, bool qkv_bias,
                             bool o_bias) {
  AttentionSpec attention;
  attention.heads = sizes.heads;
  attention.kv_heads = sizes.kv_heads;
  attention.head_dim = sizes.head_dim;
  attention.scale = 1 / std::sqrt(static_cast<double>(sizes.head_dim));
  const std::uint64_t q_rows = sizes.heads * sizes.head_dim;
  const std::uint64_t kv_rows = sizes.kv_heads * sizes.head_dim;
  attention.q = Linear(module + ".q_proj", q_rows, sizes.hidden, qkv_bias);
  attention.k = Linear(module + ".k_proj", kv_rows, sizes.hidden, qkv_bias);
  attention.v = Linear(module + ".v_proj", kv_rows, sizes.hidden, qkv_bias);
  attention.o = Linear(module + ".o_proj", sizes.hidden, q_rows, o_bias);
  return attention;
}

bool BiasFlag(FamilyContext& context, const char* key, const std::string& tensor) {
  if (context.config.Has(key)) return context.config.Flag(key, false);
  return context.has_tensor(tensor);
}

std::vector<bool> SlidingLayers(FamilyContext& context, std::uint64_t layers,
                                const std::function<bool(std::uint64_t)>& is_sliding) {
  std::vector<bool> sliding(layers);
  const Json* types = context.config.Find("layer_types");
  if (types == nullptr) {
    for (std::uint64_t i = 0; i < layers; ++i) sliding[i] = is_sliding(i);
    return sliding;
  }
  if (!types->is_array() || types->size() != layers) {
    context.config.Fail(
        fmt::format("'layer_types' has {} entries for {} layers", types->size(), layers));
    return sliding;
  }
  for (std::uint64_t i = 0; i < layers; ++i) {
    const Json& type = (*types)[i];
    sliding[i] = type == "sliding_attention";
    if (!sliding[i] && type != "full_attention")
      context.config.Fail(
          Unsupported(fmt::format("{}: layer {} is of a type that is not known "
                                  "(known: full_attention, sliding_attention)",
                                  context.config.where(), i)));
  }
  return sliding;
}

Architecture StartArchitecture(FamilyContext& context, const CommonSizes& sizes,
                               bool tied_by_default, double norm_offset) {
  const std::string prefix = TensorPrefix(context);
  Architecture a;
  a.family = context.model_type;
  a.vocab_size = sizes.vocab;
  a.hidden_size = sizes.hidden;
  a.max_positions = sizes.max_positions;
  a.embedding = prefix + "embed_tokens.weight";
  a.final_norm = RmsNorm(prefix + "norm", sizes.eps, norm_offset);
  // A head in the file wins over a config that says "tied", as in transformers; a file without a
  // head is tied unless its config says that it is not.
  const bool has_head = context.has_tensor("lm_head.weight");
  const bool may_tie = context.config.Flag("tie_word_embeddings", tied_by_default || !has_head);
  const bool tied = may_tie && !has_head;
  a.head =
      Linear("lm_head", sizes.vocab, sizes.hidden, !tied && context.has_tensor("lm_head.bias"));
  if (tied) a.head.weight = a.embedding;
  return a;
}

}  // namespace ingot::model
