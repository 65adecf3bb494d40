#include "model/source/hf/text_model.h"

#include <algorithm>
#include <array>
#include <utility>

#include "model/text/json_fields.h"

namespace ingot::model {
namespace {

// What a text_config may leave out, since it equals the default of transformers' class.
struct TextDefaults {
  const char* model_type;    // as the config has it
  const char* family;        // the plain model that it is
  const char* architecture;  // the class of that
  const char* defaults;      // JSON; "": it says everything
};

constexpr TextDefaults kTexts[] = {
    {"llama", "llama", "LlamaForCausalLM",
     R"({"hidden_size":4096,"intermediate_size":11008,"num_hidden_layers":32,
         "num_attention_heads":32,"vocab_size":32000,"rms_norm_eps":1e-6,
         "max_position_embeddings":2048})"},
    {"mistral", "mistral", "MistralForCausalLM",
     R"({"hidden_size":4096,"intermediate_size":14336,"num_hidden_layers":32,
         "num_attention_heads":32,"num_key_value_heads":8,"vocab_size":32000})"},
    {"mixtral", "mixtral", "MixtralForCausalLM",
     R"({"hidden_size":4096,"intermediate_size":14336,"num_hidden_layers":32,
         "num_attention_heads":32,"num_key_value_heads":8,"vocab_size":32000})"},
    {"qwen2", "qwen2", "Qwen2ForCausalLM",
     R"({"hidden_size":4096,"intermediate_size":22016,"num_hidden_layers":32,
         "num_attention_heads":32,"num_key_value_heads":32,"vocab_size":151936})"},
    {"qwen2_vl", "qwen2", "Qwen2ForCausalLM", ""},
    {"qwen2_vl_text", "qwen2", "Qwen2ForCausalLM", ""},
    {"qwen2_5_vl", "qwen2", "Qwen2ForCausalLM", ""},
    {"qwen2_5_vl_text", "qwen2", "Qwen2ForCausalLM", ""},
    {"qwen3", "qwen3", "Qwen3ForCausalLM",
     R"({"hidden_size":4096,"intermediate_size":22016,"num_hidden_layers":32,
         "num_attention_heads":32,"num_key_value_heads":32,"vocab_size":151936})"},
    {"qwen3_vl_text", "qwen3", "Qwen3ForCausalLM", ""},
    {"gemma", "gemma", "GemmaForCausalLM",
     R"({"hidden_size":3072,"intermediate_size":24576,"num_hidden_layers":28,
         "num_attention_heads":16,"num_key_value_heads":16,"head_dim":256,"vocab_size":256000})"},
    {"gemma2", "gemma2", "Gemma2ForCausalLM",
     R"({"hidden_size":2304,"intermediate_size":9216,"num_hidden_layers":26,
         "num_attention_heads":8,"num_key_value_heads":4,"head_dim":256,"vocab_size":256000})"},
    {"gemma3_text", "gemma3_text", "Gemma3ForCausalLM",
     R"({"hidden_size":2304,"intermediate_size":9216,"num_hidden_layers":26,
         "num_attention_heads":8,"num_key_value_heads":4,"head_dim":256,"vocab_size":262208})"},
    {"phi3", "phi3", "Phi3ForCausalLM",
     R"({"hidden_size":3072,"intermediate_size":8192,"num_hidden_layers":32,
         "num_attention_heads":32,"vocab_size":32064})"},
};

// Said once for the whole model.
constexpr std::array kOuterKeys = {"tie_word_embeddings", "eos_token_id",        "bos_token_id",
                                   "pad_token_id",        "torch_dtype",         "dtype",
                                   "quantization_config", "transformers_version"};
constexpr std::array kInnerKeys = {"text_config", "llm_config", "language_config"};

// Vision models' position ids have three sections that are equal in a text.
void DropSections(Json& config) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto rope = config.find(key);
    if (rope == config.end() || !rope->is_object()) continue;
    if (!rope->contains("mrope_section")) continue;
    rope->erase("mrope_section");
    rope->erase("mrope_interleaved");
    for (const char* type : {"type", "rope_type"})
      if (const auto it = rope->find(type); it != rope->end() && *it == "mrope") *it = "default";
  }
}

// REQUIRES: `config` has a model_type.
Json Finished(Json config, const Json& outer) {
  const std::string type = config["model_type"].get<std::string>();
  for (const char* key : kOuterKeys)
    if (const Json* value = FindField(outer, key)) config[key] = *value;
  DropSections(config);
  for (const TextDefaults& text : kTexts) {
    if (type != text.model_type) continue;
    config["model_type"] = text.family;
    config["architectures"] = {text.architecture};
    if (*text.defaults == 0) break;
    const Json defaults = Json::parse(text.defaults);
    for (const auto& [key, value] : defaults.items())
      if (FindField(config, key) == nullptr) config[key] = value;
  }
  return config;
}

bool IsFlat(std::string_view model_type) {
  return model_type == "qwen2_vl" || model_type == "qwen2_5_vl";
}

// Tensors of a text model inside of another, and what these are called there.
constexpr std::array kPrefixes = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"language_model.model.", "model."},
     {"language_model.lm_head.", "lm_head."},
     {"model.language_model.lm_head.", "lm_head."},
     {"model.language_model.model.", "model."},
     {"model.language_model.", "model."},
     {"language_model.", "model."},
     {"model.text_model.model.", "model."},
     {"model.text_model.", "model."},
     {"text_model.model.", "model."},
     {"text_model.", "model."}});
// Of a model that keeps its text model under a plain one's names.
constexpr std::array kOwn =
    std::to_array<std::string_view>({"model.layers.", "model.embed_tokens.", "model.norm."});

}  // namespace

Result<std::optional<Json>> TextConfig(const Json& config) {
  const Json* type = FindField(config, "model_type");
  for (const char* key : kInnerKeys) {
    const Json* inner = FindField(config, key);
    if (inner == nullptr || !inner->is_object()) continue;
    const Json* inner_type = FindField(*inner, "model_type");
    // The class of its text model is Gemma 3's alone.
    Json text = *inner;
    if (inner_type == nullptr && type != nullptr && *type == "gemma3")
      text["model_type"] = "gemma3_text";
    else if (inner_type == nullptr && type != nullptr && type->is_string() &&
             type->get<std::string>().starts_with("llava"))
      text["model_type"] = "llama";
    else if (inner_type == nullptr || !inner_type->is_string())
      return InvalidArgument(std::string("config.json: '") + key +
                             "' has no 'model_type', so the text model is unknown");
    return std::optional<Json>(Finished(std::move(text), config));
  }
  if (type == nullptr || !type->is_string() || !IsFlat(type->get<std::string>()))
    return std::optional<Json>();
  Json text = config;
  text.erase("vision_config");
  return std::optional<Json>(Finished(std::move(text), config));
}

TextNames::TextNames(std::span<const std::string> names) {
  has_prefix_ = std::ranges::any_of(names, [](const std::string& name) {
    return std::ranges::any_of(kPrefixes,
                               [&](const auto& row) { return name.starts_with(row.first); });
  });
}

std::optional<std::string> TextNames::NameOf(std::string_view name) const {
  for (const auto& [inside, alone] : kPrefixes)
    if (name.starts_with(inside))
      return std::string(alone) + std::string(name.substr(inside.size()));
  if (name.starts_with("lm_head.")) return std::string(name);
  const bool own =
      std::ranges::any_of(kOwn, [&](std::string_view begin) { return name.starts_with(begin); });
  if (own && !has_prefix_) return std::string(name);
  return std::nullopt;
}

}  // namespace ingot::model
