// A word is a token, or unknown. Thread rule: immutable once made; const methods may be called from
// several threads.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/token_model.h"
#include "model/tokenizer/tokenizer_document.h"
#include "model/tokenizer/vocabulary.h"

namespace ingot::model {

class WordLevel : public TokenModel {
 public:
  // From the `model` object, its vocabulary apart. Corruption names a malformed field or a bad id,
  // or an unknown token that the vocabulary lacks: no word outside it could be encoded.
  static Result<std::unique_ptr<WordLevel>> Parse(const TokenizerDocument& document,
                                                  const nlohmann::json& spec);

  void Tokenize(std::string_view piece, WordCache& /*cache*/,
                std::vector<TokenId>& out) const override {
    const TokenId id = vocabulary_.Find(piece);
    out.push_back(id >= 0 ? id : unknown_);
  }
  TokenId Find(std::string_view token) const override { return vocabulary_.Find(token); }
  std::string_view TokenOf(TokenId id) const override { return vocabulary_.TokenOf(id); }
  std::size_t vocab_size() const override { return vocabulary_.size(); }
  TokenId max_id() const override { return vocabulary_.max_id(); }

 private:
  Vocabulary vocabulary_;
  TokenId unknown_ = -1;
};

}  // namespace ingot::model
