#include "model/source/gguf/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "model/source/gguf/gguf_config_of_states.h"
#include "model/source/gguf/gguf_keys.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

// The values of a small float32 vector, as the doubles with the shortest decimal form.
std::optional<std::vector<double>> ReadVector(const Gguf& gguf, std::span<const ByteSpan> files,
                                              std::string_view name) {
  const GgufTensor* tensor = FindGgufTensor(gguf, name);
  if (tensor == nullptr || tensor->type->direct != DType::kF32 || tensor->shape.size() != 1)
    return std::nullopt;
  GgufValue view;
  view.element = GgufValueType::kF32;
  view.bytes = files[tensor->part].subspan(tensor->offset, tensor->bytes);
  std::vector<double> values(tensor->shape[0]);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = view.Number(i);
  return values;
}

class ConfigMaker {
 public:
  ConfigMaker(const Gguf& gguf, std::span<const ByteSpan> files, const GgufFamily& family)
      : gguf_(gguf),
        files_(files),
        family_(family),
        keys_(gguf, family.architecture),
        fields_{gguf, keys_, config_} {}

  Result<Json> Make();

 private:
  void Count(const char* to, std::string_view from, bool required = false) {
    fields_.Count(to, from, required);
  }
  void Number(const char* to, std::string_view from) { fields_.Number(to, from); }
  void Epsilon();
  void VocabularySize();
  void Sizes();
  void Rope();
  void Llama3Factors(const std::vector<double>& factors);
  void Family();
  void LayerNormFamily(std::string_view type);
  void Experts(std::string_view type);
  void GemmaScalar(bool second);
  void TokenIds();

  const Gguf& gguf_;
  std::span<const ByteSpan> files_;
  const GgufFamily& family_;
  GgufKeys keys_;
  Json config_ = Json::object();
  GgufFields fields_;
  std::uint64_t hidden_ = 0, layers_ = 0, heads_ = 0, head_dim_ = 0, context_ = 0;
};

void ConfigMaker::Epsilon() {
  const std::string_view type = family_.model_type;
  if (!family_.layer_norms && type != "olmo")
    Number("rms_norm_eps", ".attention.layer_norm_rms_epsilon");
  else if (type == "starcoder2")
    Number("norm_epsilon", ".attention.layer_norm_epsilon");
  else if (type == "gpt2" || type == "bloom" || type == "falcon")
    Number("layer_norm_epsilon", ".attention.layer_norm_epsilon");
  else if (family_.layer_norms)
    Number("layer_norm_eps", ".attention.layer_norm_epsilon");
}

void ConfigMaker::VocabularySize() {
  // The embedding knows best: writers pad it, and not all of them store vocab_size.
  if (const GgufTensor* embedding = FindGgufTensor(gguf_, "token_embd.weight"))
    config_["vocab_size"] = embedding->shape.front();
  else if (!config_.contains("vocab_size"))
    if (const GgufValue* tokens = keys_.Texts("tokenizer.ggml.tokens"))
      config_["vocab_size"] = tokens->count;
}

void ConfigMaker::Sizes() {
  Count("hidden_size", ".embedding_length", true);
  Count("num_hidden_layers", ".block_count", true);
  Count("intermediate_size", ".feed_forward_length", true);
  Count("num_attention_heads", ".attention.head_count", true);
  Count("max_position_embeddings", ".context_length", true);
  Count("vocab_size", ".vocab_size");
  Epsilon();
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
  VocabularySize();
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
    // The families whose config.json can say it.
    const std::string_view type = family_.model_type;
    if (type != "phi3" && type != "phi" && type != "stablelm" && type != "gpt_neox")
      keys_.Fail(Unsupported(
          fmt::format("metadata key '{}.rope.dimension_count' is {} of a head's {}: a '{}' that "
                      "rotates a part of each head is not supported",
                      family_.architecture, rotated, head_dim_, family_.model_type)));
    config_["partial_rotary_factor"] =
        static_cast<double>(rotated) / static_cast<double>(head_dim_);
  }
  const auto factors = ReadVector(gguf_, files_, "rope_freqs.weight");
  if (factors && !factors->empty()) return Llama3Factors(*factors);
  const auto long_factor = ReadVector(gguf_, files_, "rope_factors_long.weight");
  const auto short_factor = ReadVector(gguf_, files_, "rope_factors_short.weight");
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

// Families with LayerNorm, which are told apart by what tensors they have.
void ConfigMaker::LayerNormFamily(std::string_view type) {
  const auto has = [&](std::string_view name) { return FindGgufTensor(gguf_, name) != nullptr; };
  config_["hidden_act"] = type == "stablelm" ? "silu" : "gelu_new";
  if (type == "gpt2") config_["activation_function"] = "gelu_new";
  if (type == "gpt_neox") {
    config_["hidden_act"] = "gelu";
    config_["rotary_pct"] = config_.value("partial_rotary_factor", 1.0);
    config_["use_parallel_residual"] = keys_.Flag(".use_parallel_residual").value_or(true);
    config_["attention_bias"] = has("blk.0.attn_qkv.bias");
  }
  if (type == "bloom" && keys_.Number(".attention.max_alibi_bias").value_or(8) != 8)
    keys_.Fail(Unsupported("metadata key 'bloom.attention.max_alibi_bias' is not 8"));
  if (type == "falcon") {
    const bool two_norms = has("blk.0.attn_norm_2.weight");
    const std::uint64_t kv_heads = config_["num_key_value_heads"];
    config_["activation"] = "gelu";
    config_["alibi"] = false;
    config_["parallel_attn"] = true;
    config_["bias"] = has("blk.0.attn_qkv.bias");
    config_["multi_query"] = kv_heads == 1;
    config_["new_decoder_architecture"] = two_norms || (kv_heads != 1 && kv_heads != heads_);
    config_["num_ln_in_parallel_attn"] = two_norms ? 2 : 1;
  }
  if (type == "starcoder2") {
    config_["hidden_act"] = "gelu_pytorch_tanh";
    config_["use_bias"] = has("blk.0.attn_q.bias");
    const auto window = keys_.Count(".attention.sliding_window");
    config_["sliding_window"] = window && *window != 0 ? Json(*window) : Json(nullptr);
  }
  if (type == "bert") {
    config_["hidden_act"] = "gelu";
    const GgufTensor* types = FindGgufTensor(gguf_, "token_types.weight");
    config_["type_vocab_size"] = types == nullptr ? 0 : types->shape.front();
    if (keys_.Flag(".attention.causal").value_or(false))
      keys_.Fail(Unsupported("metadata key 'bert.attention.causal' is true: a decoder"));
  }
  if (type == "stablelm") {
    config_["use_qkv_bias"] = has("blk.0.attn_q.bias");
    config_["qk_layernorm"] = has("blk.0.attn_q_norm.weight");
    config_["use_parallel_residual"] =
        keys_.Flag(".use_parallel_residual").value_or(!has("blk.0.ffn_norm.weight"));
  }
}

void ConfigMaker::Experts(std::string_view type) {
  const bool qwen2 = type == "qwen2_moe";
  if (type == "mixtral")
    Count("num_local_experts", ".expert_count", true);
  else
    Count("num_experts", ".expert_count", true);
  Count("num_experts_per_tok", ".expert_used_count", true);
  if (type == "qwen3_moe" || qwen2)
    Count("moe_intermediate_size", ".expert_feed_forward_length", true);
  if (qwen2) {
    Count("shared_expert_intermediate_size", ".expert_shared_feed_forward_length", true);
    config_["decoder_sparse_step"] = 1;
  }
  if (type != "mixtral") config_["norm_topk_prob"] = type == "qwen3_moe";
}

void ConfigMaker::Family() {
  const std::string type = family_.model_type;
  if (family_.layer_norms) return LayerNormFamily(type);
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
  if (type == "mixtral" || type == "olmoe" || type.ends_with("_moe")) Experts(type);
  if (type == "olmo")
    if (const auto clip = keys_.Number(".attention.clamp_kqv"); clip && *clip > 0)
      config_["clip_qkv"] = *clip;
}

void ConfigMaker::TokenIds() {
  Count("bos_token_id", "tokenizer.ggml.bos_token_id");
  Count("eos_token_id", "tokenizer.ggml.eos_token_id");
  Count("pad_token_id", "tokenizer.ggml.padding_token_id");
}

Result<Json> ConfigMaker::Make() {
  config_["model_type"] = family_.model_type;
  config_["architectures"] = {family_.hf_class};
  if (MakeGgufConfigOfStates(family_, fields_)) {
    VocabularySize();
  } else {
    Sizes();
    INGOT_TRY(keys_.status());
    Rope();
    Family();
  }
  TokenIds();
  config_["tie_word_embeddings"] = FindGgufTensor(gguf_, "output.weight") == nullptr;
  INGOT_TRY(keys_.status());
  return config_;
}

}  // namespace

Result<Json> MakeGgufConfig(const Gguf& gguf, std::span<const ByteSpan> files,
                            const GgufFamily& family) {
  return ConfigMaker(gguf, files, family).Make();
}

void RenameGgufKeys(const GgufFamily& family, Json& config) {
  struct Renaming {
    std::string_view model_type;
    const char *from, *to;  // to nullptr: the family has none
  };
  constexpr Renaming kRenamings[] = {
      {"gpt2", "hidden_size", "n_embd"},
      {"gpt2", "num_hidden_layers", "n_layer"},
      {"gpt2", "num_attention_heads", "n_head"},
      {"gpt2", "max_position_embeddings", "n_positions"},
      {"gpt2", "intermediate_size", "n_inner"},
      {"gpt2", "num_key_value_heads", nullptr},
      {"gpt2", "head_dim", nullptr},
      {"gpt2", "rope_theta", nullptr},
      {"bloom", "num_hidden_layers", "n_layer"},
      {"bloom", "num_attention_heads", "n_head"},
      {"bloom", "max_position_embeddings", "seq_length"},
      {"bloom", "intermediate_size", nullptr},
      {"bloom", "num_key_value_heads", nullptr},
      {"bloom", "head_dim", nullptr},
      {"bloom", "rope_theta", nullptr},
      {"falcon", "intermediate_size", "ffn_hidden_size"},
      {"falcon", "num_key_value_heads", "num_kv_heads"},
      {"falcon", "head_dim", nullptr},
      {"gpt_neox", "num_key_value_heads", nullptr},
      {"gpt_neox", "head_dim", nullptr},
      {"gpt_neox", "rope_theta", "rotary_emb_base"},
      {"bert", "num_key_value_heads", nullptr},
      {"bert", "head_dim", nullptr},
      {"bert", "rope_theta", nullptr},
      {"starcoder2", "head_dim", nullptr},
      {"phi", "head_dim", nullptr},
      {"stablelm", "head_dim", nullptr},
  };
  for (const Renaming& row : kRenamings) {
    const auto it = config.find(row.from);
    if (row.model_type != family.model_type || it == config.end()) continue;
    Json value = std::move(*it);
    config.erase(it);
    if (row.to != nullptr) config[row.to] = std::move(value);
  }
}

}  // namespace ingot::model
