#include "model/tokenizer/unigram.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "model/text/json_fields.h"
#include "model/text/utf8.h"

namespace ingot::model {
namespace {

constexpr double kUnknownPenalty = 10;

}  // namespace

Result<std::unique_ptr<Unigram>> Unigram::Parse(const TokenizerDocument& document,
                                                const nlohmann::json& spec) {
  auto made = std::make_unique<Unigram>();
  if (!document.scores || document.scores->empty())
    return Corruption("\"vocab\" is not a list of tokens and scores");
  INGOT_ASSIGN(made->byte_fallback_, BoolField(spec, "byte_fallback", false));
  std::vector<VocabularyItem> items;
  items.reserve(document.scores->size());
  double lowest = HUGE_VAL;
  for (const ScoredItem& item : *document.scores) {
    if (!std::isfinite(item.score))
      return Corruption("score of token " + std::string(item.token) + " is not finite");
    items.push_back({item.token, static_cast<std::int64_t>(items.size())});
    made->scores_.push_back(item.score);
    lowest = std::min(lowest, item.score);
  }
  INGOT_TRY(made->vocabulary_.Fill(items));
  if (FindField(spec, "unk_id") != nullptr) {
    INGOT_ASSIGN(const std::uint64_t id, UnsignedField(spec, "unk_id", kMaxTokenId));
    if (id >= items.size())
      return Corruption("\"unk_id\" " + std::to_string(id) + " is outside a vocabulary of " +
                        std::to_string(items.size()));
    made->unknown_ = static_cast<TokenId>(id);
  }
  made->unknown_score_ = lowest - kUnknownPenalty;
  for (const VocabularyItem& item : items)
    INGOT_TRY(made->trie_.Add(item.token, static_cast<TokenId>(item.id)));
  for (unsigned b = 0; b < 256; ++b) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", b);
    made->byte_ids_[b] = made->vocabulary_.Find(name);
  }
  return made;
}

void Unigram::Tokenize(std::string_view piece, WordCache& cache, std::vector<TokenId>& out) const {
  const bool cached = piece.size() <= WordCache::kMaxWordBytes;
  const std::uint64_t hash = cached ? HashBytes(piece) : 0;
  if (std::span<const TokenId> ids; cached && cache.Find(piece, hash, ids)) {
    out.insert(out.end(), ids.begin(), ids.end());
    return;
  }
  std::vector<TokenId> ids;
  Segment(piece, ids);
  if (cached) cache.Insert(piece, hash, ids);
  out.insert(out.end(), ids.begin(), ids.end());
}

void Unigram::Segment(std::string_view text, std::vector<TokenId>& ids) const {
  thread_local std::vector<Best> best;
  best.assign(text.size() + 1, Best());
  const auto offer = [&](std::size_t end, double score, std::size_t begin, TokenId id) {
    Best& there = best[end];
    if (there.id != kNone && score <= there.score) return;
    there = {score, static_cast<std::uint32_t>(begin), id};
  };
  for (std::size_t begin = 0; begin < text.size();) {
    const double score = best[begin].score;
    const std::size_t character = Utf8Length(static_cast<unsigned char>(text[begin]));
    bool has_character = false;
    trie_.ForEachPrefix(text, begin, [&](std::size_t end, TokenId id) {
      offer(end, scores_[static_cast<std::size_t>(id)] + score, begin, id);
      has_character |= end - begin == character;
    });
    if (!has_character) offer(begin + character, unknown_score_ + score, begin, unknown_);
    begin += character;
  }
  std::vector<Best> path;  // from the end; begin is where a token begins, score where it ends
  for (std::size_t end = text.size(); end > 0;) {
    const Best& last = best[end];
    const bool fuses = last.id == unknown_ && !path.empty() && path.back().id == unknown_;
    if (fuses) {
      path.back().begin = last.begin;
    } else {
      path.push_back({static_cast<double>(end), last.begin, last.id});
    }
    end = last.begin;
  }
  for (auto token = path.rbegin(); token != path.rend(); ++token) {
    if (token->id != unknown_) {
      ids.push_back(token->id);
    } else {
      const auto end = static_cast<std::size_t>(token->score);
      AppendUnknown(text.substr(token->begin, end - token->begin), ids);
    }
  }
}

// A run of unknown characters: the token it spells, its bytes, or the unknown token.
void Unigram::AppendUnknown(std::string_view text, std::vector<TokenId>& ids) const {
  if (const TokenId id = vocabulary_.Find(text); id >= 0) {
    ids.push_back(id);
    return;
  }
  const bool bytes = byte_fallback_ && std::all_of(text.begin(), text.end(), [&](char c) {
                       return byte_ids_[static_cast<unsigned char>(c)] >= 0;
                     });
  if (bytes) {
    for (const char c : text) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
  } else if (unknown_ >= 0) {
    ids.push_back(unknown_);
  }
}

}  // namespace ingot::model
