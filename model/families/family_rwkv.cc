// RWKV 4 to 7. What a config.json leaves open, or all of it where a checkpoint has none, follows
// from the shapes of the tensors: rwkv_checkpoint.cc puts it into the config.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "model/families/family.h"
#include "model/source/rwkv/rwkv_layout.h"

namespace ingot::model {
namespace {

// Sizes as every version has them, and where the names come from.
struct RwkvSizes {
  const RwkvLayout* layout = nullptr;
  RwkvVersion version = RwkvVersion::k4;
  std::uint64_t hidden = 0, inner = 0, intermediate = 0, head_dim = 0;
  std::uint64_t mix_rank = 0, decay_rank = 0, rate_rank = 0, value_rank = 0, gate_rank = 0;
  double eps = 1e-5;
  double head_eps = 64e-5;
  bool decay_per_head = false;
  bool norm_bias = true;
};

LinearRef Matrix(const std::string& module, std::uint64_t rows, std::uint64_t cols) {
  return Linear(module, rows, cols, false);
}

// A matrix that the original project multiplies from the right: stored cols x rows.
LinearRef Turned(const std::string& name, std::uint64_t row_begin, std::uint64_t rows,
                 std::uint64_t cols, const std::string& bias = {}) {
  LinearRef ref;
  ref.weight = name;
  ref.bias = bias;
  ref.rows = rows;
  ref.cols = cols;
  ref.row_begin = row_begin;
  ref.transposed = true;
  return ref;
}

RwkvMix Mix(std::string vector, bool of_current) {
  RwkvMix mix;
  mix.vector = std::move(vector);
  mix.of_current = of_current;
  return mix;
}

// Version 7's low-rank vectors: w (decay), a (rate), v (value), g (gate, without a static part).
LowRank Low7(const RwkvSizes& s, const std::string& module, const std::string& letter,
             std::uint64_t rank) {
  LowRank low;
  const bool bias = letter != "g";
  if (s.layout->lora_names) {
    low.in = Matrix(module + letter + "_lora.lora.0", rank, s.hidden);
    low.out = Linear(module + letter + "_lora.lora.2", s.inner, rank, bias);
  } else {
    low.in = Turned(module + letter + "1", 0, rank, s.hidden);
    low.out = Turned(module + letter + "2", 0, s.inner, rank, bias ? module + letter + "0" : "");
  }
  return low;
}

void AddVersion7(const RwkvSizes& s, std::uint64_t layer, const std::string& module,
                 RwkvSpec& rwkv) {
  const std::pair<RwkvMix*, const char*> mixes[] = {
      {&rwkv.receptance_mix, "x_r"}, {&rwkv.decay_mix, "x_w"}, {&rwkv.key_mix, "x_k"},
      {&rwkv.value_mix, "x_v"},      {&rwkv.rate_mix, "x_a"},  {&rwkv.gate_mix, "x_g"}};
  for (const auto& [mix, name] : mixes) *mix = Mix(module + name, false);
  rwkv.decay_low = Low7(s, module, "w", s.decay_rank);
  rwkv.rate_low = Low7(s, module, "a", s.rate_rank);
  if (layer > 0) rwkv.value_low = Low7(s, module, "v", s.value_rank);
  rwkv.gate_low = Low7(s, module, "g", s.gate_rank);
  rwkv.bonus = module + "r_k";
  rwkv.key_scale = module + "k_k";
  rwkv.key_rate = module + "k_a";
}

void AddVersion6(const RwkvSizes& s, const std::string& module, RwkvSpec& rwkv) {
  rwkv.first_mix = module + "time_maa_x";
  const std::pair<RwkvMix*, const char*> mixes[] = {{&rwkv.decay_mix, "time_maa_w"},
                                                    {&rwkv.key_mix, "time_maa_k"},
                                                    {&rwkv.value_mix, "time_maa_v"},
                                                    {&rwkv.receptance_mix, "time_maa_r"},
                                                    {&rwkv.gate_mix, "time_maa_g"}};
  std::uint64_t part = 0;
  for (const auto& [mix, name] : mixes) {
    *mix = Mix(module + name, false);
    mix->low.in = Turned(module + "time_maa_w1", part * s.mix_rank, s.mix_rank, s.hidden);
    mix->low.out = Turned(fmt::format("{}time_maa_w2.{}", module, part), 0, s.hidden, s.mix_rank);
    ++part;
  }
  rwkv.decay_low.in = Turned(module + "time_decay_w1", 0, s.decay_rank, s.hidden);
  rwkv.decay_low.out =
      Turned(module + "time_decay_w2", 0, s.inner, s.decay_rank, module + "time_decay");
  rwkv.bonus = module + "time_faaaa";
}

void AddVersions4And5(FamilyContext& context, const RwkvSizes& s, const std::string& module,
                      RwkvSpec& rwkv) {
  const auto mix = [&](const char* brief, const char* full) {
    return Mix(module + "time_mix_" + (s.layout->long_names ? full : brief), true);
  };
  rwkv.receptance_mix = mix("r", "receptance");
  rwkv.key_mix = mix("k", "key");
  rwkv.value_mix = mix("v", "value");
  if (rwkv.gate.present()) rwkv.gate_mix = mix("g", "gate");
  rwkv.decay = module + "time_decay";
  rwkv.decay_per_head = s.decay_per_head;
  rwkv.bonus = module + "time_first";
  if (s.version == RwkvVersion::k5) {
    rwkv.bonus_is_log = !context.has_tensor(module + "time_faaaa");
    if (!rwkv.bonus_is_log) rwkv.bonus = module + "time_faaaa";
  }
}

RwkvSpec TimeMix(FamilyContext& context, const RwkvSizes& s, std::uint64_t layer,
                 const std::string& module) {
  RwkvSpec rwkv;
  rwkv.version = s.version;
  rwkv.head_dim = s.head_dim;
  rwkv.heads = s.inner / s.head_dim;
  rwkv.receptance = Matrix(module + s.layout->receptance, s.inner, s.hidden);
  rwkv.key = Matrix(module + s.layout->key, s.inner, s.hidden);
  rwkv.value = Matrix(module + s.layout->value, s.inner, s.hidden);
  rwkv.out = Matrix(module + s.layout->output, s.hidden, s.inner);
  if (s.version == RwkvVersion::k6 || context.has_tensor(module + "gate.weight"))
    rwkv.gate = Matrix(module + "gate", s.inner, s.hidden);
  if (s.version != RwkvVersion::k4) {
    rwkv.norm = LayerNorm(module + s.layout->head_norm, s.head_eps);
  }
  switch (s.version) {
    case RwkvVersion::k4:
    case RwkvVersion::k5:
      AddVersions4And5(context, s, module, rwkv);
      break;
    case RwkvVersion::k6:
      AddVersion6(s, module, rwkv);
      break;
    case RwkvVersion::k7:
      AddVersion7(s, layer, module, rwkv);
      break;
  }
  return rwkv;
}

RwkvChannelMixSpec ChannelMix(const RwkvSizes& s, const std::string& module) {
  RwkvChannelMixSpec mix;
  mix.key = Matrix(module + "key", s.intermediate, s.hidden);
  mix.value = Matrix(module + "value", s.hidden, s.intermediate);
  if (s.version == RwkvVersion::k7) {
    mix.key_mix = Mix(module + "x_k", false);
    return mix;
  }
  mix.receptance = Matrix(module + "receptance", s.hidden, s.hidden);
  const bool is6 = s.version == RwkvVersion::k6;
  const std::string stem = module + (is6 ? "time_maa_" : "time_mix_");
  const bool full = s.layout->long_names && !is6;
  mix.key_mix = Mix(stem + (full ? "key" : "k"), !is6);
  mix.receptance_mix = Mix(stem + (full ? "receptance" : "r"), !is6);
  return mix;
}

RwkvVersion VersionOf(const std::string& model_type) {
  if (model_type == "rwkv") return RwkvVersion::k4;
  if (model_type == "rwkv5") return RwkvVersion::k5;
  return model_type == "rwkv6" ? RwkvVersion::k6 : RwkvVersion::k7;
}

RwkvSizes ReadRwkvSizes(FamilyContext& context) {
  ConfigReader& c = context.config;
  RwkvSizes s;
  s.version = VersionOf(context.model_type);
  s.hidden = c.Count("hidden_size", 1, kMaxWidth);
  s.inner = c.Count("attention_hidden_size", 1, kMaxWidth, s.hidden);
  std::optional<std::uint64_t> four_hidden;
  if (s.version == RwkvVersion::k4) four_hidden = std::min(4 * s.hidden, kMaxWidth);
  s.intermediate = c.Count("intermediate_size", 1, kMaxWidth, four_hidden);
  s.eps = c.Positive(s.version == RwkvVersion::k7 ? "norm_eps" : "layer_norm_epsilon", 1e-5);
  s.head_dim = 1;
  if (s.version == RwkvVersion::k4) return s;
  s.head_dim = c.Count(s.version == RwkvVersion::k7 ? "head_dim" : "head_size", 1, kMaxWidth);
  if (s.inner % s.head_dim != 0)
    c.Fail(fmt::format("{} channels of time mixing do not divide into heads of {}", s.inner,
                       s.head_dim));
  // What heads are divided by before their norm. The port of version 5 does not; the original does.
  const bool port = s.version == RwkvVersion::k5 && !context.has_tensor("emb.weight");
  const double divisor = c.Positive("head_size_divisor", port ? 1 : 8);
  s.head_eps = 1e-5 * divisor * divisor;
  if (s.version == RwkvVersion::k5) s.decay_per_head = c.Flag("decay_per_head", false);
  if (s.version == RwkvVersion::k6) {
    s.mix_rank = c.Count("time_mix_extra_dim", 1, kMaxWidth);
    s.decay_rank = c.Count("time_decay_extra_dim", 1, kMaxWidth);
  }
  if (s.version == RwkvVersion::k7) {
    if (c.Has("attn")) c.Fail(Unsupported(c.where() + ": RWKV 7 with attention layers ('attn')"));
    if (context.model_type == "rwkv7" && c.Text("hidden_act", "sqrelu") != "sqrelu")
      c.Fail(Unsupported(c.where() + ": 'hidden_act' is not sqrelu"));
    s.norm_bias = c.Flag("norm_bias", true);
    s.decay_rank = c.Count("decay_low_rank_dim", 1, kMaxWidth);
    s.rate_rank = c.Count("a_low_rank_dim", 1, kMaxWidth);
    s.value_rank = c.Count("v_low_rank_dim", 1, kMaxWidth, 1);
    s.gate_rank = c.Count("gate_low_rank_dim", 1, kMaxWidth);
    if (c.Has("norm_eps")) s.head_eps = static_cast<double>(s.head_dim) * s.eps;
  }
  return s;
}

}  // namespace

Architecture BuildRwkv(FamilyContext& context) {
  ConfigReader& c = context.config;
  RwkvSizes s = ReadRwkvSizes(context);
  Architecture a;
  a.family = context.model_type;
  a.hidden_size = s.hidden;
  a.vocab_size = c.Count("vocab_size", 1, kMaxVocab);
  // A state has no length; what a model was trained on is known where the config says it.
  a.max_positions =
      c.Count(s.version == RwkvVersion::k7 ? "max_position_embeddings" : "context_length", 1,
              kMaxContext, kMaxContext);
  const std::uint64_t layers = c.Count("num_hidden_layers", 1, kMaxLayers);
  s.layout = FindRwkvLayout(context.has_tensor);
  if (s.layout == nullptr)
    c.Fail(NotFound(c.where() + ": the tensors of '" + context.model_type +
                    "' have none of the known names (emb.weight, rwkv.embeddings.weight or "
                    "model.embeddings.weight, and those of block 0)"));
  if (!c.status().ok()) return a;
  a.embedding = s.layout->embedding;
  a.embedding_norm = LayerNorm(RwkvBlock(*s.layout, 0) + s.layout->first_norm, s.eps, s.norm_bias);
  if (s.layout->lora_names && !c.Flag("norm_first", true)) a.embedding_norm = {};
  for (std::uint64_t i = 0; i < layers; ++i) {
    const std::string block = RwkvBlock(*s.layout, i);
    LayerSpec& layer = a.layers.emplace_back();
    layer.mixer = MixerKind::kRwkv;
    layer.mlp.kind = MlpKind::kRwkvChannelMix;
    layer.pre_mixer_norm = LayerNorm(block + s.layout->time_norm, s.eps, s.norm_bias);
    layer.pre_mlp_norm = LayerNorm(block + s.layout->channel_norm, s.eps, s.norm_bias);
    layer.rwkv = TimeMix(context, s, i, block + s.layout->time_mix + ".");
    layer.channel_mix = ChannelMix(s, block + s.layout->channel_mix + ".");
  }
  a.final_norm = LayerNorm(s.layout->final_norm, s.layout->lora_names ? s.eps : 1e-5, s.norm_bias);
  a.head = HeadOrTied(context, a, s.layout->head, false);
  return a;
}

}  // namespace ingot::model
