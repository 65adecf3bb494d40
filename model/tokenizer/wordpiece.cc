#include "model/tokenizer/wordpiece.h"

#include <algorithm>

#include "model/text/json_fields.h"
#include "model/text/utf8.h"

namespace ingot::model {

Result<std::unique_ptr<WordPiece>> WordPiece::Parse(const TokenizerDocument& document,
                                                    const nlohmann::json& spec) {
  auto made = std::make_unique<WordPiece>();
  if (!document.vocabulary) return Corruption("\"vocab\" is not an object");
  INGOT_TRY(made->vocabulary_.Fill(*document.vocabulary));
  for (const VocabularyItem& item : *document.vocabulary)
    made->max_token_bytes_ = std::max(made->max_token_bytes_, item.token.size());
  made->prefix_ = "##";
  if (FindField(spec, "continuing_subword_prefix") != nullptr) {
    INGOT_ASSIGN(made->prefix_, StringField(spec, "continuing_subword_prefix"));
  }
  std::string unknown = "[UNK]";
  if (FindField(spec, "unk_token") != nullptr) {
    INGOT_ASSIGN(unknown, StringField(spec, "unk_token"));
  }
  made->unknown_ = made->vocabulary_.Find(unknown);
  if (made->unknown_ < 0) return Corruption("unknown token " + unknown + " is not in \"vocab\"");
  if (FindField(spec, "max_input_chars_per_word") != nullptr) {
    INGOT_ASSIGN(made->max_characters_, UnsignedField(spec, "max_input_chars_per_word", 1 << 20));
  }
  return made;
}

void WordPiece::Tokenize(std::string_view piece, WordCache& cache,
                         std::vector<TokenId>& out) const {
  const bool cached = piece.size() <= WordCache::kMaxWordBytes;
  const std::uint64_t hash = cached ? HashBytes(piece) : 0;
  if (std::span<const TokenId> ids; cached && cache.Find(piece, hash, ids)) {
    out.insert(out.end(), ids.begin(), ids.end());
    return;
  }
  std::vector<TokenId> ids;
  Cut(piece, ids);
  if (cached) cache.Insert(piece, hash, ids);
  out.insert(out.end(), ids.begin(), ids.end());
}

void WordPiece::Cut(std::string_view word, std::vector<TokenId>& ids) const {
  std::size_t characters = 0;
  for (const char c : word) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  std::string rest;
  bool whole = characters <= max_characters_;
  for (std::size_t begin = 0; whole && begin < word.size();) {
    std::string_view text = word.substr(begin);
    const std::size_t before = begin == 0 ? 0 : prefix_.size();
    if (before > 0) {
      rest = prefix_;
      rest += text;
      text = rest;
    }
    std::size_t end = std::min(text.size(), max_token_bytes_);
    while (end > before && end < text.size() &&
           (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
      --end;
    }
    TokenId id = -1;
    while (end > before && (id = vocabulary_.Find(text.substr(0, end))) < 0)
      end = PreviousStart(text, end);
    whole = id >= 0;
    ids.push_back(id);
    begin += end - before;
  }
  if (!whole) ids.assign(1, unknown_);
}

}  // namespace ingot::model
