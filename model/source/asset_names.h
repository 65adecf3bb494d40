// The files that go along with a model's weights: what a tokenizer is made of. Nothing else is
// packed, read from an artifact or exported from one; above all nothing that a loader would run
// (*.py) or prefer to the weights (model.safetensors, pytorch_model.bin, their indices, adapters).
//
// Thread rule: pure functions.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "model/text/rwkv_vocabulary_name.h"

namespace ingot::model {

inline constexpr std::array<std::string_view, 11> kAssetNames = {"tokenizer.json",
                                                                 "tokenizer.model",
                                                                 "tokenizer_config.json",
                                                                 "generation_config.json",
                                                                 "special_tokens_map.json",
                                                                 "chat_template.jinja",
                                                                 "vocab.json",
                                                                 "vocab.txt",
                                                                 "merges.txt",
                                                                 "added_tokens.json",
                                                                 "tekken.json"};
inline constexpr std::uint64_t kMaxAssetBytes = 256u << 20;

inline bool IsAssetName(std::string_view name) {
  return std::ranges::find(kAssetNames, name) != kAssetNames.end() || IsRwkvVocabulary(name);
}

}  // namespace ingot::model
