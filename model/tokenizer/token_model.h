// A tokenizer's model: pieces of text into ids. One file per kind (BPE here; WordPiece and Unigram
// would join it). Thread rule: const methods may be called from several threads, each with its own
// cache.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/token_id.h"
#include "model/tokenizer/word_cache.h"

namespace ingot::model {

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the ids of one piece. REQUIRES: valid UTF-8, not empty.
  virtual void Tokenize(std::string_view piece, WordCache& cache,
                        std::vector<TokenId>& out) const = 0;
  virtual TokenId Find(std::string_view token) const = 0;  // -1: not in the vocabulary
  virtual std::string_view TokenOf(TokenId id) const = 0;  // empty: no such id
  virtual std::size_t vocab_size() const = 0;              // distinct tokens
  virtual TokenId max_id() const = 0;
};

}  // namespace ingot::model
