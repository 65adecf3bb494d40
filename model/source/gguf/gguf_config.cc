#include "model/source/gguf/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "base/float_formats.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

constexpr GgufFamily kFamilies[] = {
    {"llama", "llama", "LlamaForCausalLM", true, false},
    {"mistral", "mistral", "MistralForCausalLM", true, false},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", false, false},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", false, false},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", false, false},
    {"phi3", "phi3", "Phi3ForCausalLM", false, false},
    {"gemma", "gemma", "GemmaForCausalLM", false, true},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", false, true},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", false, true},
    {"granite", "granite", "GraniteForCausalLM", true, false},
};
// Mixtral's files call themselves llama and have experts.
constexpr GgufFamily kMixtral = {"llama", "mixtral", "MixtralForCausalLM", true, false};

const GgufTensor* FindTensor(const Gguf& gguf, std::string_view name) {
  for (const GgufTensor& tensor : gguf.tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

// The values of a small float32 vector, as the doubles with the shortest decimal form.
std::optional<std::vector<double>> ReadVector(const Gguf& gguf, ByteSpan file,
                                              std::string_view name) {
  const GgufTensor* tensor = FindTensor(gguf, name);
  if (tensor == nullptr || tensor->type->direct != DType::kF32 || tensor->shape.size() != 1)
    return std::nullopt;
  GgufValue view;
  view.element = GgufValueType::kF32;
  view.bytes = file.subspan(tensor->offset, tensor->bytes);
  std::vector<double> values(tensor->shape[0]);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = view.Number(i);
  return values;
}

class ConfigMaker {
 public:
  ConfigMaker(const Gguf& gguf, ByteSpan file, const GgufFamily& family)
      : gguf_(gguf), file_(file), family_(family), keys_(gguf, family.architecture) {}

  Result<Json> Make();

 private:
  // Copies a key where it is there; `required` makes its absence an error.
  void Count(const char* to, std::string_view from, bool required = false);
  void Number(const char* to, std::string_view from);
  void Sizes();
  void Rope();
  void Llama3Factors(const std::vector<double>& factors);
  void Family();
  void GemmaScalar(bool second);
  void TokenIds();

  const Gguf& gguf_;
  ByteSpan file_;
  const GgufFamily& family_;
  GgufKeys keys_;
  Json config_ = Json::object();
  std::uint64_t hidden_ = 0, layers_ = 0, heads_ = 0, head_dim_ = 0, context_ = 0;
};

void ConfigMaker::Count(const char* to, std::string_view from, bool required) {
  if (const auto n = keys_.Count(from)) {
    config_[to] = *n;
  } else if (required) {
    keys_.Fail(
        Corruption(fmt::format("metadata key '{}{}' is missing", family_.architecture, from)));
  }
}

void ConfigMaker::Number(const char* to, std::string_view from) {
  if (const auto x = keys_.Number(from)) config_[to] = *x;
}

void ConfigMaker::Sizes() {
  Count("hidden_size", ".embedding_length", true);
  Count("num_hidden_layers", ".block_count", true);
  Count("intermediate_size", ".feed_forward_length", true);
  Count("num_attention_heads", ".attention.head_count", true);
  Count("max_position_embeddings", ".context_length", true);
  Count("vocab_size", ".vocab_size");
  Number("rms_norm_eps", ".attention.layer_norm_rms_epsilon");
  if (!keys_.status().ok()) return;
  hidden_ = config_["hidden_size"];
  layers_ = config_["num_hidden_layers"];
  heads_ = config_["num_attention_heads"];
  context_ = config_["max_position_embeddings"];
  config_["num_key_value_heads"] = keys_.Count(".attention.head_count_kv").value_or(heads_);
  if (heads_ == 0) {
    keys_.Fail(Corruption("metadata: 0 attention heads"));
    return;
  }
  head_dim_ = keys_.Count(".attention.key_length").value_or(hidden_ / heads_);
  if (keys_.Count(".attention.value_length").value_or(head_dim_) != head_dim_)
    keys_.Fail(Unsupported("metadata: keys and values of different lengths"));
  config_["head_dim"] = head_dim_;
  // The embedding knows best: writers pad it, and not all of them store vocab_size.
  if (const GgufTensor* embedding = FindTensor(gguf_, "token_embd.weight"))
    config_["vocab_size"] = embedding->shape.front();
  else if (!config_.contains("vocab_size"))
    if (const GgufValue* tokens = keys_.Texts("tokenizer.ggml.tokens"))
      config_["vocab_size"] = tokens->count;
}

// LLaMA 3's scaling is stored as a table of divisors. With the constants that its release uses the
// table follows from the factor alone; a table that does not is kept as LongRoPE's, which divides
// by a table, too.
void ConfigMaker::Llama3Factors(const std::vector<double>& factors) {
  constexpr double kLow = 1, kHigh = 4, kOriginal = 8192;
  const double theta = config_["rope_theta"];
  const double factor = *std::max_element(factors.begin(), factors.end());
  bool is_release = true;
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const double wavelength =
        2 * 3.141592653589793 *
        std::pow(theta, static_cast<double>(i) / static_cast<double>(factors.size()));
    double expected = 1;
    if (wavelength > kOriginal / kLow) {
      expected = factor;
    } else if (wavelength >= kOriginal / kHigh) {
      const double smooth = (kOriginal / wavelength - kLow) / (kHigh - kLow);
      expected = 1 / ((1 - smooth) / factor + smooth);
    }
    if (!(std::abs(factors[i] - expected) <= 1e-4 * expected)) is_release = false;
  }
  if (is_release)
    config_["rope_scaling"] = {{"rope_type", "llama3"},
                               {"factor", factor},
                               {"low_freq_factor", kLow},
                               {"high_freq_factor", kHigh},
                               {"original_max_position_embeddings", 8192}};
  else
    config_["rope_scaling"] = {{"rope_type", "longrope"},
                               {"short_factor", factors},
                               {"long_factor", factors},
                               {"attention_factor", 1.0},
                               {"original_max_position_embeddings", context_}};
}

void ConfigMaker::Rope() {
  config_["rope_theta"] = keys_.Number(".rope.freq_base").value_or(10000.0);
  const std::uint64_t rotated = keys_.Count(".rope.dimension_count").value_or(head_dim_);
  if (rotated != head_dim_ && rotated != 0 && head_dim_ != 0) {
    // The only family here whose config.json can say it.
    if (std::string_view(family_.model_type) != "phi3")
      keys_.Fail(Unsupported(
          fmt::format("metadata key '{}.rope.dimension_count' is {} of a head's {}: a '{}' that "
                      "rotates a part of each head is not supported",
                      family_.architecture, rotated, head_dim_, family_.model_type)));
    config_["partial_rotary_factor"] =
        static_cast<double>(rotated) / static_cast<double>(head_dim_);
  }
  const auto factors = ReadVector(gguf_, file_, "rope_freqs.weight");
  if (factors && !factors->empty()) return Llama3Factors(*factors);
  const auto long_factor = ReadVector(gguf_, file_, "rope_factors_long.weight");
  const auto short_factor = ReadVector(gguf_, file_, "rope_factors_short.weight");
  const std::uint64_t original =
      keys_.Count(".rope.scaling.original_context_length").value_or(context_);
  const auto attention = keys_.Number(".rope.scaling.attn_factor");
  if (long_factor && short_factor) {
    config_["rope_scaling"] = {{"rope_type", "longrope"},
                               {"short_factor", *short_factor},
                               {"long_factor", *long_factor},
                               {"original_max_position_embeddings", original}};
    if (attention) config_["rope_scaling"]["attention_factor"] = *attention;
    config_["original_max_position_embeddings"] = original;
    return;
  }
  const std::string type = keys_.Text(".rope.scaling.type").value_or("none");
  const auto factor = keys_.Number(".rope.scaling.factor");
  const auto old_linear = keys_.Number(".rope.scale_linear");
  if (type == "none" || type.empty()) {
    if (old_linear && *old_linear != 1)
      config_["rope_scaling"] = {{"rope_type", "linear"}, {"factor", *old_linear}};
  } else if (type == "linear") {
    config_["rope_scaling"] = {{"rope_type", "linear"},
                               {"factor", factor.value_or(old_linear.value_or(1))}};
  } else if (type == "yarn") {
    Json scaling = {{"rope_type", "yarn"}, {"original_max_position_embeddings", original}};
    if (factor) scaling["factor"] = *factor;
    if (attention) scaling["attention_factor"] = *attention;
    if (const auto x = keys_.Number(".rope.scaling.yarn_beta_fast")) scaling["beta_fast"] = *x;
    if (const auto x = keys_.Number(".rope.scaling.yarn_beta_slow")) scaling["beta_slow"] = *x;
    config_["rope_scaling"] = std::move(scaling);
  } else {
    keys_.Fail(Unsupported(fmt::format(
        "metadata key '{}.rope.scaling.type' is '{}' (known: none, linear, yarn, longrope tables)",
        family_.architecture, type)));
  }
}

// Not stored: the largest Gemma 2 and 3 (46 and 62 layers) scale by the width of a head in the
// hidden state, the others by head_dim.
void ConfigMaker::GemmaScalar(bool second) {
  if (const auto scale = keys_.Number(".attention.scale"); scale && *scale > 0) {
    config_["query_pre_attn_scalar"] = 1 / (*scale * *scale);
  } else {
    const bool largest = layers_ == (second ? 46 : 62);
    config_["query_pre_attn_scalar"] = largest ? hidden_ / heads_ : head_dim_;
  }
}

void ConfigMaker::Family() {
  const std::string type = family_.model_type;
  const auto window = keys_.Count(".attention.sliding_window");
  if (type.starts_with("qwen")) {
    config_["use_sliding_window"] = false;
  } else {
    config_["sliding_window"] = window && *window != 0 ? Json(*window) : Json(nullptr);
  }
  if (type.starts_with("gemma")) {
    config_["hidden_activation"] = "gelu_pytorch_tanh";
    config_["hidden_act"] = "gelu_pytorch_tanh";
  } else {
    config_["hidden_act"] = "silu";
  }
  if (type == "gemma2") {
    const auto cap = [&](std::string_view key) {
      const auto x = keys_.Number(key);
      return x ? Json(*x) : Json(nullptr);
    };
    config_["attn_logit_softcapping"] = cap(".attn_logit_softcapping");
    config_["final_logit_softcapping"] = cap(".final_logit_softcapping");
  }
  if (type == "gemma2" || type == "gemma3_text") GemmaScalar(type == "gemma2");
  if (type == "gemma3_text") {
    config_["rope_local_base_freq"] = keys_.Number(".rope.freq_base_swa").value_or(10000.0);
    config_["sliding_window_pattern"] = 6;
  }
  if (type == "granite") {
    Number("embedding_multiplier", ".embedding_scale");
    Number("residual_multiplier", ".residual_scale");
    Number("attention_multiplier", ".attention.scale");
    Number("logits_scaling", ".logit_scale");
  }
  if (type == "mixtral") {
    Count("num_local_experts", ".expert_count", true);
    Count("num_experts_per_tok", ".expert_used_count", true);
  }
  if (type == "qwen3_moe") {
    Count("num_experts", ".expert_count", true);
    Count("num_experts_per_tok", ".expert_used_count", true);
    Count("moe_intermediate_size", ".expert_feed_forward_length", true);
    config_["norm_topk_prob"] = true;
  }
}

void ConfigMaker::TokenIds() {
  Count("bos_token_id", "tokenizer.ggml.bos_token_id");
  Count("eos_token_id", "tokenizer.ggml.eos_token_id");
  Count("pad_token_id", "tokenizer.ggml.padding_token_id");
}

Result<Json> ConfigMaker::Make() {
  config_["model_type"] = family_.model_type;
  config_["architectures"] = {family_.hf_class};
  Sizes();
  INGOT_TRY(keys_.status());
  Rope();
  Family();
  TokenIds();
  config_["tie_word_embeddings"] = FindTensor(gguf_, "output.weight") == nullptr;
  INGOT_TRY(keys_.status());
  return config_;
}

}  // namespace

Result<const GgufFamily*> FindGgufFamily(const std::string& architecture, bool has_experts) {
  if (architecture == kMixtral.architecture && has_experts) return &kMixtral;
  std::string known;
  for (const GgufFamily& family : kFamilies) {
    if (architecture == family.architecture) return &family;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.architecture);
  }
  return Unsupported(
      fmt::format("GGUF architecture '{}' is not supported (known: {})", architecture, known));
}

Result<Json> MakeGgufConfig(const Gguf& gguf, ByteSpan file, const GgufFamily& family) {
  return ConfigMaker(gguf, file, family).Make();
}

}  // namespace ingot::model
