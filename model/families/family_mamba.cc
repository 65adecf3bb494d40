// Mamba, FalconMamba (norms of dt, B and C), Mamba-2: layers of a norm and a state-space mixer,
// without attention, positions and MLP.
#include "model/families/family_mamba.h"

#include <fmt/format.h>

#include <array>
#include <limits>

#include "untrusted/json_guard.h"

namespace ingot::model {
namespace {

CausalConvSpec Conv(const std::string& module, const MambaSizes& sizes, std::uint64_t channels) {
  CausalConvSpec conv;
  conv.channels = channels;
  conv.kernel = sizes.kernel;
  conv.weight = module + ".conv1d.weight";
  if (sizes.conv_bias) conv.bias = module + ".conv1d.bias";
  conv.activation = sizes.activation;
  return conv;
}

// Without a weight.
NormSpec BareRmsNorm(double eps) {
  NormSpec norm;
  norm.kind = NormKind::kRms;
  norm.eps = eps;
  return norm;
}

// What the three families' configs share.
MambaSizes ReadMambaSizes(FamilyContext& context) {
  ConfigReader& c = context.config;
  MambaSizes sizes;
  sizes.hidden = c.Count("hidden_size", 1, kMaxWidth);
  sizes.state = c.Count("state_size", 1, kMaxStateSize, context.model_type == "mamba2" ? 128 : 16);
  sizes.kernel = c.Count("conv_kernel", 1, kMaxConvKernel, 4);
  sizes.bias = c.Flag("use_bias", false);
  sizes.conv_bias = c.Flag("use_conv_bias", true);
  sizes.activation = ReadActivation(context, "hidden_act", "silu");
  return sizes;
}

// Everything but the layers' mixers.
Architecture StartMamba(FamilyContext& context, const MambaSizes& sizes, bool tied_by_default) {
  static constexpr std::array kPrefixes = {"backbone.", "model.", ""};
  ConfigReader& c = context.config;
  Architecture a;
  a.family = context.model_type;
  a.vocab_size = c.Count("vocab_size", 1, kMaxVocab);
  a.hidden_size = sizes.hidden;
  a.max_positions = kMaxContext;  // a state has no longest sequence
  // Transformers' name, and that of the original implementation.
  std::string prefix = FindPrefix(context, kPrefixes, "embeddings.weight");
  a.embedding = prefix + "embeddings.weight";
  if (!context.has_tensor(a.embedding)) {
    const std::string original = FindPrefix(context, kPrefixes, "embedding.weight");
    if (context.has_tensor(original + "embedding.weight")) {
      prefix = original;
      a.embedding = original + "embedding.weight";
    }
  }
  const double eps = c.Positive("layer_norm_epsilon", 1e-5);
  a.final_norm = RmsNorm(prefix + "norm_f", eps);
  a.head = HeadOrTied(context, a, "lm_head", tied_by_default);
  const std::uint64_t layers = c.Count("num_hidden_layers", 1, kMaxLayers);
  for (std::uint64_t i = 0; i < layers && c.status().ok(); ++i) {
    LayerSpec& layer = a.layers.emplace_back();
    layer.pre_mixer_norm = RmsNorm(fmt::format("{}layers.{}.norm", prefix, i), eps);
    layer.mlp.kind = MlpKind::kNone;
  }
  return a;
}

// "….layers.3.norm.weight" to "….layers.3.mixer".
std::string MixerModule(const LayerSpec& layer) {
  const std::string& norm = layer.pre_mixer_norm.weight;
  return norm.substr(0, norm.size() - std::string_view("norm.weight").size()) + "mixer";
}

}  // namespace

std::uint64_t TimeStepRank(ConfigReader& config, const char* key, std::uint64_t hidden) {
  const Json* value = config.Find(key);
  if (value == nullptr || *value == "auto") return (hidden + 15) / 16;
  return config.Count(key, 1, kMaxWidth);
}

MambaSpec MambaMixer(const std::string& module, const MambaSizes& sizes) {
  MambaSpec mamba;
  mamba.inner = sizes.inner;
  mamba.state = sizes.state;
  const std::string in = module + ".in_proj", selection = module + ".x_proj";
  mamba.x = LinearRows(in, 0, sizes.inner, sizes.hidden, sizes.bias);
  mamba.z = LinearRows(in, sizes.inner, sizes.inner, sizes.hidden, sizes.bias);
  mamba.conv = Conv(module, sizes, sizes.inner);
  mamba.dt = LinearRows(selection, 0, sizes.rank, sizes.inner, false);
  mamba.b = LinearRows(selection, sizes.rank, sizes.state, sizes.inner, false);
  mamba.c = LinearRows(selection, sizes.rank + sizes.state, sizes.state, sizes.inner, false);
  mamba.time_step = Linear(module + ".dt_proj", sizes.inner, sizes.rank, true);
  mamba.a_log = module + ".A_log";
  mamba.d = module + ".D";
  mamba.out = Linear(module + ".out_proj", sizes.hidden, sizes.inner, sizes.bias);
  return mamba;
}

Mamba2Spec Mamba2Mixer(const std::string& module, const MambaSizes& sizes, double norm_eps) {
  Mamba2Spec mamba;
  mamba.heads = sizes.heads;
  mamba.head_dim = sizes.inner / sizes.heads;
  mamba.groups = sizes.groups;
  mamba.state = sizes.state;
  const std::string in = module + ".in_proj";
  const std::uint64_t channels = sizes.inner + 2 * sizes.groups * sizes.state;
  mamba.z = LinearRows(in, 0, sizes.inner, sizes.hidden, sizes.bias);
  mamba.xbc = LinearRows(in, sizes.inner, channels, sizes.hidden, sizes.bias);
  mamba.dt = LinearRows(in, sizes.inner + channels, sizes.heads, sizes.hidden, sizes.bias);
  mamba.conv = Conv(module, sizes, channels);
  mamba.a_log = module + ".A_log";
  mamba.d = module + ".D";
  mamba.dt_bias = module + ".dt_bias";
  mamba.norm = RmsNorm(module + ".norm", norm_eps);
  mamba.norm_groups = sizes.groups;
  mamba.out = Linear(module + ".out_proj", sizes.hidden, sizes.inner, sizes.bias);
  return mamba;
}

void CheckMamba2Sizes(ConfigReader& config, const MambaSizes& sizes) {
  if (sizes.inner % sizes.heads != 0)
    config.Fail(
        fmt::format("{} inner channels do not divide into {} heads", sizes.inner, sizes.heads));
  if (sizes.heads % sizes.groups != 0)
    config.Fail(fmt::format("{} heads do not divide into {} groups", sizes.heads, sizes.groups));
}

void ReadTimeStepLimits(ConfigReader& config, const char* key, Mamba2Spec& mamba) {
  const Json* limits = config.Find(key);
  if (limits == nullptr) return;
  const auto bound = [&](const Json& value) {
    if (untrusted::NonFiniteOf(value) == "Infinity") return std::numeric_limits<double>::infinity();
    return value.is_number() ? value.get<double>() : -1.0;
  };
  if (limits->is_array() && limits->size() == 2) {
    mamba.time_step_min = bound((*limits)[0]);
    mamba.time_step_max = bound((*limits)[1]);
    if (mamba.time_step_min >= 0 && mamba.time_step_min <= mamba.time_step_max) return;
  }
  config.Fail(fmt::format("'{}' is not two numbers, the first from 0 to the second", key));
}

Architecture BuildMamba(FamilyContext& context) {
  ConfigReader& c = context.config;
  MambaSizes sizes = ReadMambaSizes(context);
  const std::uint64_t expand = c.Count("expand", 1, 1024, 2);
  // FalconMamba's files give an inner size that is not what their `expand` says.
  sizes.inner = c.Count("intermediate_size", 1, kMaxWidth, sizes.hidden * expand);
  if (sizes.inner > kMaxWidth)
    c.Fail(fmt::format("{} inner channels are more than {}", sizes.inner, kMaxWidth));
  sizes.rank = TimeStepRank(c, "time_step_rank", sizes.hidden);
  Architecture a = StartMamba(context, sizes, true);
  const bool falcon = context.model_type == "falcon_mamba";
  const double eps = falcon ? c.Positive("mixer_rms_eps", 1e-6) : 0;
  for (LayerSpec& layer : a.layers) {
    layer.mixer = MixerKind::kMamba;
    layer.mamba = MambaMixer(MixerModule(layer), sizes);
    if (falcon) layer.mamba.dt_norm = layer.mamba.b_norm = layer.mamba.c_norm = BareRmsNorm(eps);
  }
  return a;
}

Architecture BuildMamba2(FamilyContext& context) {
  ConfigReader& c = context.config;
  MambaSizes sizes = ReadMambaSizes(context);
  sizes.heads = c.Count("num_heads", 1, kMaxWidth, 128);
  sizes.groups = c.Count("n_groups", 1, kMaxWidth, 8);
  const std::uint64_t head_dim = c.Count("head_dim", 1, kMaxWidth, 64);
  sizes.inner = sizes.heads * head_dim;
  const std::uint64_t expand = c.Count("expand", 1, 1024, 2);
  if (sizes.inner != sizes.hidden * expand)
    c.Fail(fmt::format("{} heads of {} are not 'hidden_size' {} times 'expand' {}", sizes.heads,
                       head_dim, sizes.hidden, expand));
  if (sizes.inner > kMaxWidth || sizes.groups * sizes.state > kMaxWidth)
    c.Fail(fmt::format("{} channels and {} groups of {} are wider than {}", sizes.inner,
                       sizes.groups, sizes.state, kMaxWidth));
  CheckMamba2Sizes(c, sizes);
  Architecture a = StartMamba(context, sizes, false);
  for (LayerSpec& layer : a.layers) {
    layer.mixer = MixerKind::kMamba2;
    layer.mamba2 = Mamba2Mixer(MixerModule(layer), sizes, layer.pre_mixer_norm.eps);
    ReadTimeStepLimits(c, "time_step_limit", layer.mamba2);
  }
  return a;
}

}  // namespace ingot::model
