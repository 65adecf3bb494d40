// The unigram language model (Kudo, 2018) as tokenizer.json describes it: the segmentation whose
// tokens' log-probabilities sum highest, found by Viterbi's algorithm. Thread rule: immutable once
// made; const methods may be called from several threads.
#pragma once

#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/piece_trie.h"
#include "model/tokenizer/token_model.h"
#include "model/tokenizer/tokenizer_document.h"
#include "model/tokenizer/vocabulary.h"

namespace ingot::model {

class Unigram : public TokenModel {
 public:
  // From the `model` object, its scored vocabulary apart. Corruption names a malformed field, a
  // token given twice, a score that is not finite, an unknown id outside the vocabulary.
  static Result<std::unique_ptr<Unigram>> Parse(const TokenizerDocument& document,
                                                const nlohmann::json& spec);

  void Tokenize(std::string_view piece, WordCache& cache, std::vector<TokenId>& out) const override;
  TokenId Find(std::string_view token) const override { return vocabulary_.Find(token); }
  std::string_view TokenOf(TokenId id) const override { return vocabulary_.TokenOf(id); }
  std::size_t vocab_size() const override { return vocabulary_.size(); }
  TokenId max_id() const override { return vocabulary_.max_id(); }

 private:
  // The best segmentation of the text up to some byte: its last token.
  struct Best {
    double score = 0;
    std::uint32_t begin = 0;
    TokenId id = kNone;
  };
  static constexpr TokenId kNone = -2;
  void Segment(std::string_view text, std::vector<TokenId>& ids) const;
  void AppendUnknown(std::string_view text, std::vector<TokenId>& ids) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;  // by id
  PieceTrie trie_;
  double unknown_score_ = 0;
  TokenId unknown_ = -1;
  std::array<TokenId, 256> byte_ids_{};  // of <0xNN>
  bool byte_fallback_ = false;
};

}  // namespace ingot::model
