#include "model/source/hf/mamba_ssm_config.h"

#include <fmt/format.h>

#include "model/text/json_fields.h"

namespace ingot::model {
namespace {

constexpr std::uint64_t kMost = std::uint64_t{1} << 24;

Result<std::uint64_t> Count(const Json& object, const char* key, std::uint64_t otherwise) {
  const Json* field = FindField(object, key);
  if (field == nullptr) return otherwise;
  if (!field->is_number_integer() || *field < 1 || *field > kMost)
    return InvalidArgument(
        fmt::format("config.json: '{}' is not a whole number from 1 to {}", key, kMost));
  return field->get<std::uint64_t>();
}

Result<bool> Flag(const Json& object, const char* key, bool otherwise) {
  auto flag = BoolField(object, key, otherwise);
  if (!flag.ok()) return InvalidArgument(fmt::format("config.json: '{}' is no flag", key));
  return flag;
}

// What only transformers' models cannot do.
Status CheckPlain(const Json& config) {
  for (const char* key : {"attn_layer_idx", "attn_cfg"})
    if (const Json* field = FindField(config, key); field != nullptr && !field->empty())
      return Unsupported(
          fmt::format("config.json: '{}' asks for attention layers, which are not supported in a "
                      "Mamba of the original implementation",
                      key));
  if (const Json* field = FindField(config, "d_intermediate"); field != nullptr && *field != 0)
    return Unsupported(
        "config.json: 'd_intermediate' asks for MLPs, which are not supported in a "
        "Mamba of the original implementation");
  INGOT_ASSIGN(const bool rms, Flag(config, "rms_norm", true));
  if (!rms) return Unsupported("config.json: 'rms_norm' is false: LayerNorm is not supported");
  return OkStatus();
}

Status AddMamba2(const Json& ssm, std::uint64_t inner, Json& out) {
  INGOT_ASSIGN(const std::uint64_t head_dim, Count(ssm, "headdim", 64));
  INGOT_ASSIGN(const std::uint64_t groups, Count(ssm, "ngroups", 1));
  if (inner % head_dim != 0)
    return InvalidArgument(
        fmt::format("config.json: {} channels do not divide into heads of {}", inner, head_dim));
  for (const char* key : {"d_ssm", "norm_before_gate", "D_has_hdim"})
    if (const Json* field = FindField(ssm, key); field != nullptr && *field != false)
      return Unsupported(fmt::format("config.json: ssm_cfg's '{}' is not supported", key));
  INGOT_ASSIGN(const bool norm, Flag(ssm, "rmsnorm", true));
  if (!norm) return Unsupported("config.json: ssm_cfg's 'rmsnorm' is false, not supported");
  out["head_dim"] = head_dim;
  out["num_heads"] = inner / head_dim;
  out["n_groups"] = groups;
  if (const Json* limits = FindField(ssm, "dt_limit")) out["time_step_limit"] = *limits;
  return OkStatus();
}

}  // namespace

Result<std::optional<Json>> FromMambaSsmConfig(const Json& config) {
  if (FindField(config, "model_type") != nullptr || FindField(config, "d_model") == nullptr ||
      FindField(config, "n_layer") == nullptr)
    return std::optional<Json>();
  INGOT_TRY(CheckPlain(config));
  const Json* given = FindField(config, "ssm_cfg");
  const Json ssm = given != nullptr && given->is_object() ? *given : Json::object();
  const Json* layer = FindField(ssm, "layer");
  const bool second = layer != nullptr && *layer == "Mamba2";
  if (layer != nullptr && !second && *layer != "Mamba1")
    return Unsupported("config.json: ssm_cfg's 'layer' is not Mamba1 or Mamba2");
  INGOT_ASSIGN(const std::uint64_t hidden, Count(config, "d_model", 0));
  INGOT_ASSIGN(const std::uint64_t layers, Count(config, "n_layer", 0));
  INGOT_ASSIGN(const std::uint64_t vocab, Count(config, "vocab_size", 50277));
  INGOT_ASSIGN(const std::uint64_t multiple, Count(config, "pad_vocab_size_multiple", 8));
  INGOT_ASSIGN(const std::uint64_t state, Count(ssm, "d_state", second ? 128 : 16));
  INGOT_ASSIGN(const std::uint64_t kernel, Count(ssm, "d_conv", 4));
  INGOT_ASSIGN(const std::uint64_t expand, Count(ssm, "expand", 2));
  INGOT_ASSIGN(const bool bias, Flag(ssm, "bias", false));
  INGOT_ASSIGN(const bool conv_bias, Flag(ssm, "conv_bias", true));
  INGOT_ASSIGN(const bool tied, Flag(config, "tie_embeddings", true));
  Json out = {{"model_type", second ? "mamba2" : "mamba"},
              {"architectures", {second ? "Mamba2ForCausalLM" : "MambaForCausalLM"}},
              {"hidden_size", hidden},
              {"num_hidden_layers", layers},
              {"vocab_size", (vocab + multiple - 1) / multiple * multiple},
              {"state_size", state},
              {"conv_kernel", kernel},
              {"expand", expand},
              {"use_bias", bias},
              {"use_conv_bias", conv_bias},
              {"hidden_act", "silu"},
              {"layer_norm_epsilon", 1e-5},
              {"tie_word_embeddings", tied}};
  if (const Json* rank = FindField(ssm, "dt_rank")) out["time_step_rank"] = *rank;
  if (!second) out["intermediate_size"] = expand * hidden;
  if (second) INGOT_TRY(AddMamba2(ssm, expand * hidden, out));
  return std::optional<Json>(std::move(out));
}

}  // namespace ingot::model
