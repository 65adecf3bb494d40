// Byte-pair encoding (Sennrich et al., 2016) as tokenizer.json describes it: over characters with
// byte fallback (LLaMA 2), or over bytes (GPT-2). Thread rule: immutable once made; const methods
// may be called from several threads.
#pragma once

#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "model/tokenizer/token_model.h"
#include "model/tokenizer/tokenizer_document.h"
#include "model/tokenizer/vocabulary.h"

namespace ingot::model {

class Bpe : public TokenModel {
 public:
  // From the `model` object, its vocabulary and merges apart. With `bytes` pieces come as bytes
  // whose vocabulary is spelled in the byte alphabet. Corruption names a merge whose tokens are
  // unknown, a bad id, a malformed field.
  static Result<std::unique_ptr<Bpe>> Parse(const TokenizerDocument& document,
                                            const nlohmann::json& spec, bool bytes);

  void Tokenize(std::string_view piece, WordCache& cache, std::vector<TokenId>& out) const override;
  TokenId Find(std::string_view token) const override { return vocabulary_.Find(token); }
  std::string_view TokenOf(TokenId id) const override { return vocabulary_.TokenOf(id); }
  std::size_t vocab_size() const override { return vocabulary_.size(); }
  TokenId max_id() const override { return vocabulary_.max_id(); }

 private:
  struct MergeSlot {
    std::uint64_t pair = kNoPair;
    std::uint32_t rank = 0;
    TokenId id = -1;
  };
  static constexpr std::uint64_t kNoPair = ~std::uint64_t{0};

  Status EnterMerges(const std::vector<MergeItem>& merges);
  Status AddMerge(std::string_view left, std::string_view right, std::uint32_t rank);
  TokenId FindJoined(std::string_view left, std::string_view right, TokenId guess) const;
  void FinishTables(const std::vector<VocabularyItem>& items);
  const MergeSlot* FindMerge(TokenId left, TokenId right) const;

  void TokenizeWord(std::string_view word, WordCache& cache, std::vector<TokenId>& out) const;
  void Symbols(std::string_view word, std::vector<TokenId>& symbols) const;
  TokenId SymbolOf(std::string_view character) const;
  bool FallBack(std::string_view symbol, std::vector<TokenId>& symbols) const;
  void MergeShort(std::vector<TokenId>& symbols) const;
  void MergeLong(std::vector<TokenId>& symbols) const;

  Vocabulary vocabulary_;
  std::vector<MergeSlot> merges_;  // open addressing, a power of two
  std::string prefix_, suffix_;
  bool bytes_ = false;
  bool fuse_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
  TokenId last_merged_ = -1;    // while merges are entered
  bool cut_at_spaces_ = false;  // no token has U+2581 behind another character
  TokenId unknown_ = -1;
  std::array<TokenId, 256> byte_ids_{};  // bytes_: of the byte; else of its <0xNN>
  std::vector<TokenId> low_characters_;  // ids of U+0000..U+FFFF, without prefix and suffix
};

}  // namespace ingot::model
