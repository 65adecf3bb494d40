// Tokens that the files beside a vocabulary add to it, by the rules of transformers 5:
// tokenizer_config.json's added_tokens_decoder; without one, special_tokens_map.json and
// added_tokens.json; then every special token that tokenizer_config.json or the tokenizer's class
// names, and the additional ones.
// Thread rule: functions without state.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace ingot::model {

// What a tokenizer's class has built in.
struct TokenDefaults {
  // What it calls its special tokens where no file does: ("mask_token", "[MASK]").
  std::vector<std::pair<std::string_view, std::string>> named;
  bool plain = false;  // special tokens lose the flags that a file gives them
};

// `listed` (a tokenizer.json's "added_tokens", or an empty list) and what the files add, in the
// order in which ids are given to those that the vocabulary lacks. A token that stands in both with
// other flags is the files'. Corruption where a file is damaged or a token has no text.
Result<nlohmann::json> AddConfiguredTokens(const nlohmann::json& listed,
                                           const std::map<std::string, std::string>& assets,
                                           const TokenDefaults& defaults);

// A special token's text by the files, or by the class; empty where it has none.
std::string NamedToken(const nlohmann::json& config, const nlohmann::json& map,
                       std::string_view key, std::string_view otherwise);

// A file's object; an empty one where there is no such file. Corruption where it is none.
Result<nlohmann::json> ReadObjectAsset(const std::map<std::string, std::string>& assets,
                                       const std::string& name);

}  // namespace ingot::model
