// Vocabularies of GGUF files that are not BPE: WordPiece, unigram, RWKV's world.
//
// Thread rule: pure functions; views into the file.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "model/source/gguf/gguf_keys.h"

namespace ingot::model {

enum class GgufTokenKind : std::uint64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct GgufTokens {
  const GgufValue* texts = nullptr;
  const GgufValue* kinds = nullptr;  // nullptr: all are normal

  std::size_t size() const { return texts->texts.size(); }
  std::string_view Text(std::size_t id) const { return texts->texts[id]; }
  GgufTokenKind KindOf(std::size_t id) const {
    return kinds == nullptr ? GgufTokenKind::kNormal
                            : static_cast<GgufTokenKind>(kinds->Unsigned(id).value_or(1));
  }
};

// Corruption: no tokens, more or fewer types than tokens, a token that is not UTF-8.
Result<GgufTokens> ReadGgufTokens(GgufKeys& keys);

// A JSON string. REQUIRES: valid UTF-8.
void AppendJsonText(std::string_view text, std::string& out);

// "bert": tokens that start a word have a mark in front, those that go on in one have none. Fills
// model, normalizer, pre-tokenizer and decoder of `json`.
struct GgufWordPiece {
  std::string vocabulary;                   // JSON, for the empty object in json["model"]
  std::optional<std::uint64_t> begin, end;  // [CLS] and [SEP], where a text gets them
};
Result<GgufWordPiece> MakeGgufWordPiece(GgufKeys& keys, const GgufTokens& tokens,
                                        nlohmann::json& json);

// "t5": a score a token. Returns the tokenizer.model that SentencePiece would have.
Result<std::string> MakeGgufUnigram(GgufKeys& keys, const GgufTokens& tokens);

// "rwkv": tokens as Python writes bytes. Returns the lines of a rwkv_vocab_*.txt.
Result<std::string> MakeRwkvVocabulary(const GgufTokens& tokens);

}  // namespace ingot::model
