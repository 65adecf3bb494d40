// GPT-2, GPT-J and GPT-Neo: one naming scheme ("h.N.ln_1", "attn", "mlp"), LayerNorm with biases
// and an MLP of two matrices.
//
// GPT-2   learned positions, q, k, v in one matrix, matrices stored transposed (Conv1D)
// GPT-J   rotary embedding of neighbouring pairs on a part of each head, attention and MLP in
//         parallel after one norm, a head with a bias
// GPT-Neo learned positions, scores that are not scaled, every other layer within a window
#include <fmt/format.h>

#include <array>

#include "model/architecture/rope_config.h"
#include "model/families/family.h"

namespace ingot::model {
namespace {

constexpr std::array kPrefixes = {"transformer.", ""};

SizeDefaults Defaults(std::uint64_t positions) {
  SizeDefaults defaults;
  defaults.max_positions = positions;
  defaults.kv_heads_key = nullptr;
  defaults.eps_key = "layer_norm_epsilon";
  defaults.eps = 1e-5;
  defaults.activation_key = "activation_function";
  defaults.activation = "gelu_new";
  defaults.intermediate_is_four_hidden = true;
  defaults.head_dim_key = nullptr;
  return defaults;
}

// GPT-2's and GPT-J's names of the sizes.
SizeDefaults ShortNames(std::uint64_t positions) {
  SizeDefaults defaults = Defaults(positions);
  defaults.hidden_key = "n_embd";
  defaults.layers_key = "n_layer";
  defaults.heads_key = "n_head";
  defaults.intermediate_key = "n_inner";
  defaults.positions_key = "n_positions";
  return defaults;
}

Architecture Start(FamilyContext& context, const CommonSizes& sizes, const std::string& prefix,
                   bool tied, bool positions) {
  Architecture a;
  a.family = context.model_type;
  a.vocab_size = sizes.vocab;
  a.hidden_size = sizes.hidden;
  a.max_positions = sizes.max_positions;
  a.embedding = prefix + "wte.weight";
  if (positions) a.position_embedding = prefix + "wpe.weight";
  a.final_norm = LayerNorm(prefix + "ln_f", sizes.eps);
  a.head = HeadOrTied(context, a, "lm_head", tied);
  return a;
}

std::string LayerName(const std::string& prefix, std::uint64_t layer) {
  return fmt::format("{}h.{}", prefix, layer);
}

// GPT-Neo's kind of each layer: attention_layers, or attention_types as (kinds, repetitions) pairs.
std::vector<bool> LocalLayers(ConfigReader& c, std::uint64_t layers) {
  std::vector<std::string> kinds;
  const auto add = [&](const Json& list) {
    for (const Json& kind : list)
      if (kinds.size() < layers) kinds.push_back(kind.is_string() ? kind.get<std::string>() : "");
  };
  const Json* types = c.Find("attention_types");
  if (const Json* list = c.Find("attention_layers"); list != nullptr && list->is_array()) {
    add(*list);
  } else if (types != nullptr && types->is_array()) {
    for (const Json& pair : *types) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_array() || pair[0].empty() ||
          !pair[1].is_number_unsigned())
        break;
      for (std::uint64_t i = 0; i < pair[1].get<std::uint64_t>() && kinds.size() < layers; ++i)
        add(pair[0]);
    }
  } else {
    for (std::uint64_t i = 0; i < layers; ++i) kinds.push_back(i % 2 == 0 ? "global" : "local");
  }
  std::vector<bool> local(layers, false);
  if (kinds.size() < layers)
    c.Fail(
        fmt::format("'attention_types' says what {} of {} layers attend to", kinds.size(), layers));
  for (std::uint64_t i = 0; i < kinds.size(); ++i) {
    local[i] = kinds[i] == "local";
    if (!local[i] && kinds[i] != "global")
      c.Fail(Unsupported(
          fmt::format("{}: layer {} attends '{}' (known: global, local)", c.where(), i, kinds[i])));
  }
  return local;
}

}  // namespace

Architecture BuildGpt2(FamilyContext& context) {
  ConfigReader& c = context.config;
  const CommonSizes sizes = ReadSizes(context, ShortNames(1024));
  const std::string prefix = FindPrefix(context, kPrefixes, "wte.weight");
  Architecture a = Start(context, sizes, prefix, true, true);
  if (c.Flag("add_cross_attention", false))
    c.Fail(Unsupported(c.where() + ": 'add_cross_attention' is true: encoder-decoders are not "
                                   "supported"));
  const bool scaled = c.Flag("scale_attn_weights", true);
  const bool by_layer = c.Flag("scale_attn_by_inverse_layer_idx", false);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = LayerName(prefix, i);
    LayerSpec& layer = a.layers.emplace_back();
    layer.pre_mixer_norm = LayerNorm(module + ".ln_1", sizes.eps);
    layer.attention = AttentionSizes(sizes);
    if (!scaled) layer.attention.scale = 1;
    if (by_layer) layer.attention.scale /= static_cast<double>(i + 1);
    FuseBlocks(module + ".attn.c_attn", sizes, true, true, layer.attention);
    layer.attention.o = Linear(module + ".attn.c_proj", sizes.hidden, sizes.hidden, true);
    layer.attention.o.transposed = true;
    layer.pre_mlp_norm = LayerNorm(module + ".ln_2", sizes.eps);
    layer.mlp = PlainMlp(module + ".mlp.c_fc", module + ".mlp.c_proj", sizes.hidden,
                         sizes.intermediate, sizes.activation, true);
    layer.mlp.up.transposed = layer.mlp.down.transposed = true;
  }
  return a;
}

Architecture BuildGptJ(FamilyContext& context) {
  ConfigReader& c = context.config;
  const CommonSizes sizes = ReadSizes(context, ShortNames(2048));
  const std::string prefix = FindPrefix(context, kPrefixes, "wte.weight");
  Architecture a = Start(context, sizes, prefix, false, false);
  const std::uint64_t rotated = c.Count("rotary_dim", 2, sizes.head_dim, 64);
  RopeRequest rope;
  rope.head_dim = rotated;
  rope.max_positions = sizes.max_positions;
  static const Json kNone = Json::object();  // no key but rotary_dim is about it
  ConfigReader none(kNone, c.where());
  a.ropes.push_back(ReadRope(none, rope));
  c.Fail(none.status());
  a.ropes.back().interleaved = true;
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = LayerName(prefix, i);
    LayerSpec& layer = a.layers.emplace_back();
    layer.residual = ResidualKind::kParallel;
    layer.pre_mixer_norm = LayerNorm(module + ".ln_1", sizes.eps);
    layer.attention = SplitAttention(module + ".attn", sizes, false, false);
    layer.attention.o = Linear(module + ".attn.out_proj", sizes.hidden, sizes.hidden, false);
    layer.mlp = PlainMlp(module + ".mlp.fc_in", module + ".mlp.fc_out", sizes.hidden,
                         sizes.intermediate, sizes.activation, true);
  }
  return a;
}

Architecture BuildGptNeo(FamilyContext& context) {
  ConfigReader& c = context.config;
  SizeDefaults defaults = Defaults(2048);
  defaults.layers_key = "num_layers";
  defaults.heads_key = "num_heads";
  const CommonSizes sizes = ReadSizes(context, defaults);
  const std::string prefix = FindPrefix(context, kPrefixes, "wte.weight");
  Architecture a = Start(context, sizes, prefix, true, true);
  const std::uint64_t window = c.Count("window_size", 1, kMaxContext, 256);
  const std::vector<bool> local = LocalLayers(c, sizes.layers);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i) {
    const std::string module = LayerName(prefix, i);
    LayerSpec& layer = a.layers.emplace_back();
    layer.pre_mixer_norm = LayerNorm(module + ".ln_1", sizes.eps);
    layer.attention = SplitAttention(module + ".attn.attention", sizes, false, true);
    layer.attention.o =
        Linear(module + ".attn.attention.out_proj", sizes.hidden, sizes.hidden, true);
    layer.attention.scale = 1;
    layer.attention.window = local[i] ? window : 0;
    layer.pre_mlp_norm = LayerNorm(module + ".ln_2", sizes.eps);
    layer.mlp = PlainMlp(module + ".mlp.c_fc", module + ".mlp.c_proj", sizes.hidden,
                         sizes.intermediate, sizes.activation, true);
  }
  return a;
}

}  // namespace ingot::model
