// The unigram language model (Kudo, 2018) as tokenizer.json describes it: the segmentation whose
// tokens' log-probabilities sum highest, found by Viterbi's algorithm. Thread rule: immutable once
// made; const methods may be called from several threads.
#pragma once

#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/status.h"
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
  // Children of trie nodes in one table: (node, byte) -> child.
  struct Edge {
    std::uint64_t key = ~std::uint64_t{0};
    std::uint32_t child = 0;
  };

  void AddToTrie(std::string_view token, TokenId id);
  std::uint32_t Child(std::uint32_t node, unsigned char byte) const;  // 0: none
  void GrowEdges();
  void Segment(std::string_view text, std::vector<TokenId>& ids) const;
  void AppendUnknown(std::string_view text, std::vector<TokenId>& ids) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;    // by id
  std::vector<TokenId> node_id_;  // by trie node, -1: no token ends there
  std::vector<Edge> edges_;       // open addressing, a power of two
  std::array<std::uint32_t, 256> root_{};
  std::size_t edge_count_ = 0;
  double unknown_score_ = 0;
  TokenId unknown_ = -1;
  std::array<TokenId, 256> byte_ids_{};  // of <0xNN>
  bool byte_fallback_ = false;
};

}  // namespace ingot::model
