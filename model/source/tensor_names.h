// Names of tensors that checkpoints carry beside their weights.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace ingot::model {

// Buffers: derived tables, masks and scales of activations, which no weight depends on.
inline bool IsKnownBuffer(std::string_view name) {
  static constexpr std::array<std::string_view, 12> kSuffixes = {
      ".inv_freq",  ".cos_cached",     ".sin_cached",          ".masked_bias",
      ".attn.bias", ".attention.bias", ".position_ids",        ".input_scale",
      ".k_scale",   ".v_scale",        "retnet_rel_pos.angle", "retnet_rel_pos.decay"};
  return std::any_of(kSuffixes.begin(), kSuffixes.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

// The weight of an output head, which may be the embedding's.
inline bool IsHeadWeight(std::string_view name) {
  static constexpr std::array<std::string_view, 6> kSuffixes = {
      "lm_head.weight",         "embed_out.weight",       "cls.predictions.decoder.weight",
      "lm_head.decoder.weight", "vocab_projector.weight", "output_projection.weight"};
  return std::any_of(kSuffixes.begin(), kSuffixes.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

// Whole numbers or flags that are no quantized weights: positions, masks, counters of training.
inline bool IsIntegerBuffer(std::string_view name, std::string_view stored_type) {
  const bool whole = stored_type == "I64" || stored_type == "BOOL" || stored_type == "I32" ||
                     stored_type == "I16" || stored_type == "U8";
  static constexpr std::array<std::string_view, 7> kOfWeights = {
      "weight", "qzeros", "g_idx", "packed", "shape", "scales", "absmax"};
  const std::string_view last = name.substr(name.rfind('.') + 1);
  return whole && std::none_of(kOfWeights.begin(), kOfWeights.end(), [&](std::string_view part) {
           return last.find(part) != std::string_view::npos;
         });
}

// What a masked-LM checkpoint carries beside its masked-LM head: the pooler and next-sentence head
// of BERT's pretraining, and the head's bias under a second name (cls.predictions.bias is that of
// cls.predictions.decoder, lm_head.bias that of lm_head.decoder).
inline bool IsUnusedEncoderHead(std::string_view name) {
  static constexpr std::array<std::string_view, 6> kSuffixes = {
      "pooler.dense.weight",       "pooler.dense.bias",    "cls.seq_relationship.weight",
      "cls.seq_relationship.bias", "cls.predictions.bias", "lm_head.bias"};
  return std::any_of(kSuffixes.begin(), kSuffixes.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

}  // namespace ingot::model
