#include "model/families/family.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

namespace ingot::model {

CommonSizes ReadSizes(FamilyContext& context, const SizeDefaults& defaults) {
  ConfigReader& c = context.config;
  const SizeDefaults usual;
  // Where a file has both, the usual name is the one that transformers' class sets last.
  const auto key = [&](const char* own, const char* usual_key) {
    return c.Has(usual_key) ? usual_key : own;
  };
  const char* hidden_key = defaults.hidden_key_first && c.Has(defaults.hidden_key)
                               ? defaults.hidden_key
                               : key(defaults.hidden_key, usual.hidden_key);
  const char* heads_key = key(defaults.heads_key, usual.heads_key);
  CommonSizes s;
  s.vocab = c.Count("vocab_size", 1, kMaxVocab);
  s.hidden = c.Count(hidden_key, 1, kMaxWidth);
  std::optional<std::uint64_t> four_hidden;
  if (defaults.intermediate_is_four_hidden) four_hidden = std::min(4 * s.hidden, kMaxWidth);
  s.intermediate = defaults.intermediate_key == nullptr
                       ? std::min(4 * s.hidden, kMaxWidth)
                       : c.Count(defaults.intermediate_key, 1, kMaxWidth, four_hidden);
  s.layers = c.Count(key(defaults.layers_key, usual.layers_key), 1, kMaxLayers);
  s.heads = c.Count(heads_key, 1, kMaxWidth);
  s.kv_heads = s.heads;
  if (defaults.kv_heads_key != nullptr)
    s.kv_heads = c.Count(defaults.kv_heads_key, 1, kMaxWidth,
                         defaults.kv_heads != 0 ? defaults.kv_heads : s.heads);
  if (s.heads % s.kv_heads != 0)
    c.Fail(fmt::format("'{}' {} is not a multiple of '{}' {}", heads_key, s.heads,
                       defaults.kv_heads_key, s.kv_heads));
  const bool asks_head_dim = defaults.head_dim_key != nullptr;
  const bool has_head_dim =
      asks_head_dim && (c.Has(defaults.head_dim_key) || defaults.head_dim != 0);
  if (!has_head_dim && s.hidden % s.heads != 0)
    c.Fail(fmt::format("'{}' {} is not a multiple of '{}' {}", hidden_key, s.hidden, heads_key,
                       s.heads));
  s.head_dim = s.hidden / s.heads;
  if (asks_head_dim)
    s.head_dim = c.Count(defaults.head_dim_key, 1, kMaxWidth,
                         defaults.head_dim != 0 ? defaults.head_dim : s.head_dim);
  if (s.head_dim > kMaxWidth / s.heads)
    c.Fail(
        fmt::format("{} heads of {} dimensions are wider than {}", s.heads, s.head_dim, kMaxWidth));
  s.max_positions = c.Count(key(defaults.positions_key, usual.positions_key), 1, kMaxContext,
                            defaults.max_positions);
  s.eps = defaults.eps_key == nullptr ? defaults.eps : c.Positive(defaults.eps_key, defaults.eps);
  s.activation = ReadActivation(context, defaults.activation_key, defaults.activation);
  return s;
}

std::string TensorPrefix(const FamilyContext& context) {
  const bool bare =
      !context.has_tensor("model.embed_tokens.weight") && context.has_tensor("embed_tokens.weight");
  return bare ? "" : "model.";
}

std::string FindPrefix(const FamilyContext& context, std::span<const char* const> prefixes,
                       const std::string& tensor) {
  for (const char* prefix : prefixes)
    if (context.has_tensor(prefix + tensor)) return prefix;
  return prefixes[0];
}

Activation ReadActivation(FamilyContext& context, const char* key, const char* otherwise) {
  static constexpr std::array<std::pair<std::string_view, Activation>, 11> kNames = {{
      {"silu", Activation::kSilu},
      {"swish", Activation::kSilu},
      {"gelu", Activation::kGelu},
      {"gelu_python", Activation::kGelu},
      {"gelu_new", Activation::kGeluTanh},
      {"gelu_pytorch_tanh", Activation::kGeluTanh},
      {"gelu_fast", Activation::kGeluTanh},
      {"gelu_tanh", Activation::kGeluTanh},
      {"gelu_python_tanh", Activation::kGeluTanh},
      {"gelu_accurate", Activation::kGeluTanh},
      {"relu", Activation::kRelu},
  }};
  const std::string name = key == nullptr ? otherwise : context.config.Text(key, otherwise);
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

NormSpec LayerNorm(const std::string& module, double eps, bool bias) {
  NormSpec norm;
  norm.kind = NormKind::kLayer;
  norm.weight = module + ".weight";
  if (bias) norm.bias = module + ".bias";
  norm.eps = eps;
  return norm;
}

NormSpec BareLayerNorm(double eps) {
  NormSpec norm;
  norm.kind = NormKind::kLayer;
  norm.eps = eps;
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

MlpSpec PlainMlp(const std::string& up, const std::string& down, std::uint64_t hidden,
                 std::uint64_t intermediate, Activation activation, bool bias) {
  MlpSpec mlp;
  mlp.kind = MlpKind::kPlain;
  mlp.activation = activation;
  mlp.up = Linear(up, intermediate, hidden, bias);
  mlp.down = Linear(down, hidden, intermediate, bias);
  return mlp;
}

AttentionSpec AttentionSizes(const CommonSizes& sizes) {
  AttentionSpec attention;
  attention.heads = sizes.heads;
  attention.kv_heads = sizes.kv_heads;
  attention.head_dim = sizes.head_dim;
  attention.scale = 1 / std::sqrt(static_cast<double>(sizes.head_dim));
  return attention;
}

void FuseGroups(const std::string& module, const CommonSizes& sizes, bool bias,
                AttentionSpec& attention) {
  const std::uint64_t dim = sizes.head_dim;
  const std::uint64_t heads = sizes.heads / sizes.kv_heads;  // of a group
  const std::uint64_t stride = (heads + 2) * dim;
  attention.qkv = Linear(module, stride * sizes.kv_heads, sizes.hidden, bias);
  attention.q_columns = {0, heads * dim, stride, sizes.kv_heads};
  attention.k_columns = {heads * dim, dim, stride, sizes.kv_heads};
  attention.v_columns = {(heads + 1) * dim, dim, stride, sizes.kv_heads};
}

void FuseBlocks(const std::string& module, const CommonSizes& sizes, bool bias, bool transposed,
                AttentionSpec& attention) {
  const std::uint64_t q_rows = sizes.heads * sizes.head_dim;
  const std::uint64_t kv_rows = sizes.kv_heads * sizes.head_dim;
  attention.q = LinearRows(module, 0, q_rows, sizes.hidden, bias);
  attention.k = LinearRows(module, q_rows, kv_rows, sizes.hidden, bias);
  attention.v = LinearRows(module, q_rows + kv_rows, kv_rows, sizes.hidden, bias);
  for (LinearRef* part : {&attention.q, &attention.k, &attention.v}) part->transposed = transposed;
}

AttentionSpec SplitAttention(const std::string& module, const CommonSizes& sizes, bool qkv_bias,
                             bool o_bias) {
  AttentionSpec attention = AttentionSizes(sizes);
  const std::uint64_t q_rows = sizes.heads * sizes.head_dim;
  const std::uint64_t kv_rows = sizes.kv_heads * sizes.head_dim;
  attention.q = Linear(module + ".q_proj", q_rows, sizes.hidden, qkv_bias);
  attention.k = Linear(module + ".k_proj", kv_rows, sizes.hidden, qkv_bias);
  attention.v = Linear(module + ".v_proj", kv_rows, sizes.hidden, qkv_bias);
  attention.o = Linear(module + ".o_proj", sizes.hidden, q_rows, o_bias);
  return attention;
}

bool BiasFlag(FamilyContext& context, const char* key, const std::string& tensor) {
  if (key == nullptr) return false;
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

void CheckNoSlidingLayers(FamilyContext& context) {
  const Json* types = context.config.Find("layer_types");
  if (types == nullptr || !types->is_array()) return;
  if (std::ranges::find(*types, Json("sliding_attention")) != types->end())
    context.config.Fail(
        "'layer_types' has layers with a window, but 'use_sliding_window' is false");
}

LinearRef HeadOrTied(FamilyContext& context, const Architecture& a, const std::string& head,
                     bool tied_by_default) {
  // A head in the file wins over a config that says "tied", as in transformers; a file without a
  // head is tied unless its config says that it is not.
  const bool has_head = context.has_tensor(head + ".weight");
  const bool may_tie = context.config.Flag("tie_word_embeddings", tied_by_default || !has_head);
  LinearRef ref = Linear(head, a.vocab_size, a.hidden_size, context.has_tensor(head + ".bias"));
  if (may_tie && !has_head) ref.weight = a.embedding;
  return ref;
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
  a.head = HeadOrTied(context, a, "lm_head", tied_by_default);
  return a;
}

}  // namespace ingot::model
