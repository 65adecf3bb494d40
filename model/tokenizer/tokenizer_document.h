// A tokenizer.json taken apart: the model's vocabulary and merges, which are nearly all of its
// bytes, as slices of the text; everything else as a JSON tree. Thread rule: immutable once made.
#pragma once

#include <memory>
#include <memory_resource>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ingot::model {

struct VocabularyItem {
  std::string_view token;
  std::int64_t id;  // clamped to what 64 bits hold
};

// ["left", "right"], or in older files the line "left right", which is then all in `left`.
struct MergeItem {
  std::string_view left, right;
  bool is_line;
};

// ["token", score], as Unigram's vocabulary lists them.
struct ScoredItem {
  std::string_view token;
  double score;
};

// REQUIRES: the text it was read from outlives it.
struct TokenizerDocument {
  nlohmann::json rest;  // model.vocab is {} or [] and model.merges is [] where they were taken out
  std::optional<std::vector<VocabularyItem>> vocabulary;           // absent: no such object
  std::optional<std::vector<MergeItem>> merges;                    // absent: no such list
  std::optional<std::vector<ScoredItem>> scores;                   // absent: no such list
  std::unique_ptr<std::pmr::monotonic_buffer_resource> unescaped;  // strings that had escapes
};

// As strict as ParseJson: what one refuses the other refuses. Corruption names the byte, or the token without an integer
// id, the merge that is not strings, or the scored token that is not a string and a number.
Result<TokenizerDocument> ParseTokenizerDocument(std::string_view text);

}  // namespace ingot::model
