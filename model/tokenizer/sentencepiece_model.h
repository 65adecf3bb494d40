// SentencePiece (Kudo and Richardson, 2018) as its library 0.2 runs it: text is normalized, spaces
// become U+2581, and what results is cut by a unigram language model (Kudo, 2018: the segmentation
// of highest score), by byte-pair merges in the order of their scores (Sennrich et al., 2016), into
// words or into characters. Scores are float32 and sums are rounded as the library rounds them, so
// that ties fall the same way.
//
// Thread rule: immutable once made; const methods may be called from several threads.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/charsmap.h"
#include "model/tokenizer/piece_trie.h"
#include "model/tokenizer/sentencepiece_file.h"
#include "model/tokenizer/text_scratch.h"
#include "model/tokenizer/token_model.h"
#include "model/tokenizer/vocabulary.h"

namespace ingot::model {

class SentencePieceModel : public TokenModel {
 public:
  // Of a tokenizer.model. Corruption for a damaged one, Limit for one too large.
  static Result<std::unique_ptr<SentencePieceModel>> Parse(std::string bytes);

  // Appends the ids of a text. Limit where normalizing makes too much of it. REQUIRES: valid UTF-8;
  // growth has begun.
  Status Encode(std::string_view text, TextGrowth& growth, std::vector<TokenId>& ids) const;
  // A text as it is cut. The same errors and requirements.
  Result<std::string> Normalize(std::string_view text, TextGrowth& growth) const;

  // Appends the ids of text that is normalized.
  void Tokenize(std::string_view normalized, WordCache& cache,
                std::vector<TokenId>& out) const override;
  TokenId Find(std::string_view piece) const override { return vocabulary_.Find(piece); }
  std::string_view TokenOf(TokenId id) const override { return vocabulary_.TokenOf(id); }
  std::size_t vocab_size() const override { return file_.pieces.size(); }
  TokenId max_id() const override { return static_cast<TokenId>(file_.pieces.size()) - 1; }

  const SentencePieceFile& file() const { return file_; }
  PieceType type(TokenId id) const { return file_.pieces[static_cast<std::size_t>(id)].type; }
  // Of a byte piece.
  unsigned char byte(TokenId id) const;

 private:
  Status Fill();
  // What stands for the beginning of `text`, and the bytes that it takes of it.
  std::string_view NormalizedPrefix(std::string_view text, std::size_t& taken) const;
  std::size_t UserDefinedPrefix(std::string_view text) const;  // 0 bytes: none

  // Pieces of the normalized text, as stretches with their ids.
  struct Cut {
    std::size_t begin, end;
    TokenId id;
  };
  void CutUnigram(std::string_view text, std::vector<Cut>& cuts) const;
  void CutBpe(std::string_view text, std::vector<Cut>& cuts) const;
  void CutWords(std::string_view text, std::vector<Cut>& cuts) const;
  void CutCharacters(std::string_view text, std::vector<Cut>& cuts) const;
  TokenId IdOf(std::string_view piece) const;

  std::string bytes_;  // what file_ points into
  SentencePieceFile file_;
  Vocabulary vocabulary_;
  PieceTrie pieces_;  // those that text is cut into
  PieceTrie user_defined_;
  bool has_user_defined_ = false;
  std::optional<Charsmap> charsmap_;
  float lowest_ = 0;  // score of normal pieces
  TokenId unknown_ = 0;
  std::array<TokenId, 256> byte_ids_{};
};

}  // namespace ingot::model
