#include "model/families/known_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ingot::model {
namespace {

constexpr std::size_t kMostNamed = 6;

// Whole names.
constexpr std::array kNames = std::to_array<std::string_view>({
    "_commit_hash",
    "_name_or_path",
    "architectures",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "chunk_size",
    "chunk_size_feed_forward",
    "codebook",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "flash_attention",
    "fused_bias_fc",
    "fused_dropout_add_ln",
    "fused_mlp",
    "gradient_checkpointing",
    "id2label",
    "init_std",
    "initializer_range",
    "is_encoder_decoder",
    "label2id",
    "language",
    "layerdrop",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "model_type",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_assistant_tokens",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_logits_to_keep",
    "num_return_sequences",
    "onnx",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_router_logits",
    "output_scores",
    "penalty_alpha",
    "pretraining_tp",
    "prefix",
    "problem_type",
    "processor_class",
    "pruned_heads",
    "quantization_config",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_flash_attn",
    "use_flash_attn_2",
    "use_return_dict",
    "z_loss_coefficient",
});

constexpr std::array kEndings = std::to_array<std::string_view>(
    {"_token_id", "_token_index", "_dropout", "dropout_prob", "_pdrop", "_loss_coef", "_init_std",
     "_initializer_range", "_first_dropout", "_last_dropout"});
constexpr std::array kBeginnings = std::to_array<std::string_view>(
    {"initializer_", "summary_", "unsloth_", "_attn_impl", "_experts_impl", "transformers",
     "flash_attn", "rescale_prenorm"});

// Could change the forward: a flag that is set, a number. Lists, objects and texts are told of.
bool IsNumberOrFlag(const nlohmann::json& value) {
  return value.is_number() || (value.is_boolean() && value.get<bool>());
}

bool HasWord(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

}  // namespace

bool IsHarmlessKey(std::string_view key) {
  if (key == "dropout" || std::ranges::find(kNames, key) != kNames.end()) return true;
  return std::ranges::any_of(kEndings, [&](std::string_view end) { return key.ends_with(end); }) ||
         std::ranges::any_of(kBeginnings,
                             [&](std::string_view begin) { return key.starts_with(begin); });
}

std::string SettleUnheardKeys(ConfigReader& config, KeysOf keys, std::string_view model_type,
                              std::string_view harmless) {
  std::string named;
  std::size_t count = 0;
  for (const std::string& key : config.Unheard()) {
    if (IsHarmlessKey(key) || HasWord(harmless, key)) continue;
    if (keys == KeysOf::kOwnCode && IsNumberOrFlag(*config.Find(key.c_str()))) {
      config.Fail(Unsupported(fmt::format(
          "{}: '{}' is {}, and what it means for a '{}' is not known; remove it if it says nothing",
          config.where(), key, config.Shown(key.c_str()), model_type)));
      return {};
    }
    if (++count > kMostNamed) continue;
    named += fmt::format("{}'{}'", named.empty() ? "" : ", ", key);
  }
  if (count == 0) return {};
  if (count > kMostNamed) named += fmt::format(" and {} more", count - kMostNamed);
  return fmt::format("{}: {} {} nothing that is known of a '{}', and {} ignored", config.where(),
                     named, count == 1 ? "says" : "say", model_type, count == 1 ? "is" : "are");
}

}  // namespace ingot::model
