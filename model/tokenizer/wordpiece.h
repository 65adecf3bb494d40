// WordPiece (Schuster and Nakajima, 2012) as BERT uses it: the longest known beginning of a word,
// then the longest known continuation of the rest, and so on; a word that does not come out whole
// is one unknown token. Thread rule: immutable once made; const methods may be called from several
// threads.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"
#include "model/tokenizer/token_model.h"
#include "model/tokenizer/tokenizer_document.h"
#include "model/tokenizer/vocabulary.h"

namespace ingot::model {

class WordPiece : public TokenModel {
 public:
  // From the `model` object, its vocabulary apart. Corruption names a malformed field, a bad id or
  // an unknown token that the vocabulary lacks.
  static Result<std::unique_ptr<WordPiece>> Parse(const TokenizerDocument& document,
                                                  const nlohmann::json& spec);

  void Tokenize(std::string_view piece, WordCache& cache, std::vector<TokenId>& out) const override;
  TokenId Find(std::string_view token) const override { return vocabulary_.Find(token); }
  std::string_view TokenOf(TokenId id) const override { return vocabulary_.TokenOf(id); }
  std::size_t vocab_size() const override { return vocabulary_.size(); }
  TokenId max_id() const override { return vocabulary_.max_id(); }

 private:
  void Cut(std::string_view word, std::vector<TokenId>& ids) const;

  Vocabulary vocabulary_;
  std::string prefix_;  // of continuations, "##"
  TokenId unknown_ = -1;
  std::size_t max_characters_ = 100;  // of a word; a longer one is unknown
  std::size_t max_token_bytes_ = 0;
};

}  // namespace ingot::model
