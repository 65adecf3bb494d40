#include "model/source/gguf/gguf_config_of_states.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace ingot::model {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMostLayers = 1024;  // that are looked at one by one

void CommonSizes(GgufFields& f) {
  f.Count("hidden_size", ".embedding_length", true);
  f.Count("num_hidden_layers", ".block_count", true);
  if (f.keys.status().ok() && f.config["num_hidden_layers"] > kMostLayers)
    f.keys.Fail(Corruption(
        fmt::format("metadata: {} layers", f.config["num_hidden_layers"].get<std::uint64_t>())));
}

bool HasTensor(const GgufFields& f, std::string_view name) {
  return FindGgufTensor(f.gguf, name) != nullptr;
}

// The first layer that has `module`, for what all that have it share.
std::optional<std::string> FirstWith(const GgufFields& f, std::string_view module) {
  const std::uint64_t layers = f.config["num_hidden_layers"];
  for (std::uint64_t i = 0; i < layers; ++i)
    if (HasTensor(f, fmt::format("blk.{}.{}.weight", i, module))) return fmt::format("blk.{}.", i);
  return std::nullopt;
}

// How many times wider the inner channels are.
std::uint64_t Expansion(GgufFields& f, std::uint64_t inner) {
  const std::uint64_t hidden = f.config["hidden_size"];
  if (hidden != 0 && inner != 0 && inner % hidden == 0) return inner / hidden;
  f.keys.Fail(
      Unsupported(fmt::format("metadata: {} inner channels are no multiple of {}", inner, hidden)));
  return 1;
}

void Mamba(GgufFields& f) {
  CommonSizes(f);
  f.Count("conv_kernel", ".ssm.conv_kernel", true);
  f.Count("intermediate_size", ".ssm.inner_size", true);
  f.Count("state_size", ".ssm.state_size", true);
  f.Count("time_step_rank", ".ssm.time_step_rank", true);
  f.Number("layer_norm_epsilon", ".attention.layer_norm_rms_epsilon");
  if (!f.keys.status().ok()) return;
  f.config["expand"] = Expansion(f, f.config["intermediate_size"]);
  f.config["use_bias"] = false;
  f.config["use_conv_bias"] = HasTensor(f, "blk.0.ssm_conv1d.bias");
  f.config["hidden_act"] = "silu";
  // FalconMamba: dt, B and C are normalized, by the one epsilon that the file has.
  if (!f.keys.Flag(".ssm.dt_b_c_rms").value_or(false)) return;
  f.config["model_type"] = "falcon_mamba";
  f.config["architectures"] = {"FalconMambaForCausalLM"};
  f.Number("mixer_rms_eps", ".attention.layer_norm_rms_epsilon");
}

void Mamba2(GgufFields& f) {
  CommonSizes(f);
  f.Count("conv_kernel", ".ssm.conv_kernel", true);
  f.Count("state_size", ".ssm.state_size", true);
  f.Count("num_heads", ".ssm.time_step_rank", true);
  f.Count("n_groups", ".ssm.group_count", true);
  f.Number("layer_norm_epsilon", ".attention.layer_norm_rms_epsilon");
  const std::uint64_t inner = f.keys.Count(".ssm.inner_size").value_or(0);
  if (!f.keys.status().ok()) return;
  f.config["expand"] = Expansion(f, inner);
  const std::uint64_t heads = f.config["num_heads"];
  if (heads == 0 || inner % heads != 0)
    f.keys.Fail(Corruption(
        fmt::format("metadata: {} inner channels do not divide into {} heads", inner, heads)));
  else
    f.config["head_dim"] = inner / heads;
  f.config["use_bias"] = false;
  f.config["use_conv_bias"] = HasTensor(f, "blk.0.ssm_conv1d.bias");
  f.config["hidden_act"] = "silu";
}

// Jamba's rules: layers offset, offset + period, ... and no others. Without any: a rule that meets
// none of them.
void WriteRule(GgufFields& f, const std::vector<bool>& has, const char* what, const char* period,
               const char* offset) {
  const auto first = std::find(has.begin(), has.end(), true);
  const auto start = static_cast<std::size_t>(first - has.begin());
  std::size_t step = has.size() + 1;
  if (first != has.end()) {
    const auto second = std::find(first + 1, has.end(), true);
    if (second != has.end()) step = static_cast<std::size_t>(second - first);
  }
  bool regular = start < step;
  for (std::size_t i = 0; i < has.size(); ++i) regular &= has[i] == (i % step == start);
  if (!regular)
    f.keys.Fail(Unsupported(fmt::format(
        "the layers with {} are not every so many from one on, as 'jamba' has them", what)));
  f.config[period] = step;
  f.config[offset] = start;
}

void JambaLayers(GgufFields& f) {
  const std::uint64_t layers = f.config["num_hidden_layers"];
  const auto kv_heads = f.keys.Counts(".attention.head_count_kv", layers);
  if (!f.keys.status().ok()) return;
  std::vector<bool> attends, routes;
  std::uint64_t kv = 0;
  for (std::uint64_t i = 0; i < layers; ++i) {
    const std::uint64_t own = kv_heads ? (*kv_heads)[i] : 0;
    if (own != 0 && kv != 0 && own != kv)
      f.keys.Fail(
          Unsupported("metadata key 'jamba.attention.head_count_kv': layers with "
                      "different numbers of heads"));
    if (own != 0) kv = own;
    attends.push_back(own != 0);
    routes.push_back(HasTensor(f, fmt::format("blk.{}.ffn_gate_inp.weight", i)));
  }
  if (kv != 0) f.config["num_key_value_heads"] = kv;
  WriteRule(f, attends, "attention", "attn_layer_period", "attn_layer_offset");
  WriteRule(f, routes, "experts", "expert_layer_period", "expert_layer_offset");
}

void Jamba(GgufFields& f) {
  CommonSizes(f);
  f.Count("intermediate_size", ".feed_forward_length", true);
  f.Count("num_attention_heads", ".attention.head_count", true);
  f.Count("max_position_embeddings", ".context_length", true);
  f.Count("mamba_d_conv", ".ssm.conv_kernel", true);
  f.Count("mamba_d_state", ".ssm.state_size", true);
  f.Count("mamba_dt_rank", ".ssm.time_step_rank", true);
  f.Count("num_experts", ".expert_count");
  f.Count("num_experts_per_tok", ".expert_used_count");
  f.Number("rms_norm_eps", ".attention.layer_norm_rms_epsilon");
  const std::uint64_t inner = f.keys.Count(".ssm.inner_size").value_or(0);
  if (!f.keys.status().ok()) return;
  f.config["mamba_expand"] = Expansion(f, inner);
  const std::optional<std::string> mamba = FirstWith(f, "ssm_conv1d");
  f.config["mamba_conv_bias"] = mamba && HasTensor(f, *mamba + "ssm_conv1d.bias");
  f.config["mamba_proj_bias"] = false;
  f.config["hidden_act"] = "silu";
  JambaLayers(f);
}

// Rows of a matrix of a layer, 0 where it has none.
std::uint64_t Rows(const GgufFields& f, std::string_view name) {
  const GgufTensor* tensor = FindGgufTensor(f.gguf, name);
  return tensor == nullptr || tensor->shape.size() != 2 ? 0 : tensor->shape[0];
}

void Rwkv(GgufFields& f, const char* head_key) {
  CommonSizes(f);
  f.Count("intermediate_size", ".feed_forward_length", true);
  f.Count(head_key, ".wkv.head_size", true);
  if (!f.keys.status().ok()) return;
  f.config["attention_hidden_size"] = Rows(f, "blk.0.time_mix_receptance.weight");
}

void Rwkv6(GgufFields& f) {
  Rwkv(f, "head_size");
  f.Number("layer_norm_epsilon", ".attention.layer_norm_epsilon");
  f.Count("rescale_every", ".rescale_every_n_layers");
  f.Count("context_length", ".context_length");
  f.config["time_mix_extra_dim"] = Rows(f, "blk.0.time_mix_w1.weight") / 5;
  f.config["time_decay_extra_dim"] = Rows(f, "blk.0.time_mix_decay_w1.weight");
}

void Rwkv7(GgufFields& f) {
  Rwkv(f, "head_dim");
  f.Count("max_position_embeddings", ".context_length");
  // flash-linear-attention takes the epsilon of a head's norm from this one, times its width;
  // llama.cpp has its own, which is the same for heads of 64 and 1e-5.
  f.Number("norm_eps", ".attention.layer_norm_epsilon");
  f.config["hidden_act"] = "sqrelu";
  const std::pair<const char*, const char*> ranks[] = {
      {"decay_low_rank_dim", "blk.0.time_mix_w1.weight"},
      {"a_low_rank_dim", "blk.0.time_mix_a1.weight"},
      {"v_low_rank_dim", "blk.1.time_mix_v1.weight"},
      {"gate_low_rank_dim", "blk.0.time_mix_g1.weight"}};
  for (const auto& [key, name] : ranks)
    if (const std::uint64_t rank = Rows(f, name)) f.config[key] = rank;
}

}  // namespace

const GgufTensor* FindGgufTensor(const Gguf& gguf, std::string_view name) {
  for (const GgufTensor& tensor : gguf.tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

void GgufFields::Count(const char* to, std::string_view from, bool required) {
  if (const auto n = keys.Count(from)) {
    config[to] = *n;
  } else if (required) {
    keys.Fail(Corruption(fmt::format("metadata key '{}{}' is missing", keys.architecture(), from)));
  }
}

void GgufFields::Number(const char* to, std::string_view from) {
  if (const auto x = keys.Number(from)) config[to] = *x;
}

bool MakeGgufConfigOfStates(const GgufFamily& family, GgufFields& fields) {
  constexpr std::pair<std::string_view, void (*)(GgufFields&)> kMakers[] = {
      {"mamba", Mamba}, {"mamba2", Mamba2}, {"jamba", Jamba}, {"rwkv6", Rwkv6}, {"rwkv7", Rwkv7}};
  for (const auto& [type, make] : kMakers) {
    if (type != family.model_type) continue;
    make(fields);
    return true;
  }
  return false;
}

}  // namespace ingot::model
