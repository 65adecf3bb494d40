#include "model/tokenizer/bpe.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <queue>

#include "model/text/json_fields.h"
#include "model/text/utf8.h"
#include "model/tokenizer/byte_level.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581
constexpr std::size_t kShortWord = 48;                   // symbols merged by scanning
constexpr std::uint32_t kNoRank = std::numeric_limits<std::uint32_t>::max();

std::uint64_t PairKey(TokenId left, TokenId right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

std::size_t PairHash(std::uint64_t pair) {
  const std::uint64_t mixed = pair * 0x9E3779B97F4A7C15u;
  return mixed ^ mixed >> 32;
}

// Whether U+2581 stands behind another character in the token.
bool HasInnerSpaceMark(std::string_view token) {
  std::size_t i = 0;
  while (token.substr(i, kSpaceMark.size()) == kSpaceMark) i += kSpaceMark.size();
  return token.find(kSpaceMark, i) != std::string_view::npos;
}

}  // namespace

Result<std::unique_ptr<Bpe>> Bpe::Parse(const TokenizerDocument& document, const Json& spec,
                                        bool bytes) {
  auto bpe = std::make_unique<Bpe>();
  bpe->bytes_ = bytes;
  INGOT_ASSIGN(bpe->fuse_unknown_, BoolField(spec, "fuse_unk", false));
  INGOT_ASSIGN(bpe->byte_fallback_, BoolField(spec, "byte_fallback", false));
  INGOT_ASSIGN(bpe->ignore_merges_, BoolField(spec, "ignore_merges", false));
  if (FindField(spec, "continuing_subword_prefix") != nullptr) {
    INGOT_ASSIGN(bpe->prefix_, StringField(spec, "continuing_subword_prefix"));
  }
  if (FindField(spec, "end_of_word_suffix") != nullptr) {
    INGOT_ASSIGN(bpe->suffix_, StringField(spec, "end_of_word_suffix"));
  }
  if (bytes && !(bpe->prefix_.empty() && bpe->suffix_.empty())) {
    return Unsupported("ByteLevel together with a subword prefix or suffix is not supported");
  }
  if (!document.vocabulary) return Corruption("\"vocab\" is not an object");
  if (!document.merges) return Corruption("\"merges\" is not a list");
  INGOT_TRY(bpe->vocabulary_.Fill(*document.vocabulary));
  if (FindField(spec, "unk_token") != nullptr) {
    INGOT_ASSIGN(const std::string unknown, StringField(spec, "unk_token"));
    bpe->unknown_ = bpe->vocabulary_.Find(unknown);
  }
  INGOT_TRY(bpe->EnterMerges(*document.merges));
  bpe->FinishTables(*document.vocabulary);
  return bpe;
}

Status Bpe::EnterMerges(const std::vector<MergeItem>& merges) {
  std::size_t slots = 16;
  while (slots < merges.size() * 2) slots *= 2;
  merges_.assign(slots, MergeSlot{});
  cut_at_spaces_ = vocabulary_.Find(kSpaceMark) >= 0;
  std::uint32_t rank = 0;
  for (const MergeItem& merge : merges) {
    std::string_view left = merge.left, right = merge.right;
    if (merge.is_line) {
      const std::string_view line = merge.left;
      if (line.substr(0, 8) == "#version") continue;
      const std::size_t space = line.find(' ');
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
        return Corruption("merge " + std::to_string(rank) + " is not two tokens");
      }
      left = line.substr(0, space);
      right = line.substr(space + 1);
    }
    Status added = AddMerge(left, right, rank);
    if (!added.ok()) return std::move(added).At("merge " + std::to_string(rank));
    ++rank;
  }
  return OkStatus();
}

// Vocabularies list most tokens in the order of their merges: the id behind the last one is looked
// at before the table is.
TokenId Bpe::FindJoined(std::string_view left, std::string_view right, TokenId guess) const {
  const std::string_view guessed = vocabulary_.TokenOf(guess);
  if (!guessed.empty() && guessed.size() == left.size() + right.size() &&
      guessed.substr(0, left.size()) == left && guessed.substr(left.size()) == right) {
    return guess;
  }
  char buffer[128];
  if (left.size() + right.size() > sizeof(buffer)) {
    return vocabulary_.Find(std::string(left) + std::string(right));
  }
  left.copy(buffer, left.size());
  right.copy(buffer + left.size(), right.size());
  return vocabulary_.Find({buffer, left.size() + right.size()});
}

Status Bpe::AddMerge(std::string_view left, std::string_view right, std::uint32_t rank) {
  const TokenId left_id = vocabulary_.Find(left);
  const TokenId right_id = vocabulary_.Find(right);
  if (right.size() < prefix_.size()) return Corruption("right token is shorter than the prefix");
  const std::string_view tail = right.substr(prefix_.size());
  const TokenId id = FindJoined(left, tail, last_merged_ + 1);
  if (left_id < 0 || right_id < 0 || id < 0) {
    const std::string missing(left_id < 0    ? std::string(left)
                              : right_id < 0 ? std::string(right)
                                             : std::string(left) + std::string(tail));
    return Corruption("token " + missing + " is not in the vocabulary");
  }
  last_merged_ = id;
  if (cut_at_spaces_ && HasInnerSpaceMark(std::string(left) + std::string(tail))) {
    cut_at_spaces_ = false;
  }
  const std::uint64_t pair = PairKey(left_id, right_id);
  std::size_t i = PairHash(pair) & (merges_.size() - 1);
  while (merges_[i].pair != kNoPair && merges_[i].pair != pair) i = (i + 1) & (merges_.size() - 1);
  merges_[i] = {pair, rank, id};  // a pair given twice has its last rank
  return OkStatus();
}

void Bpe::FinishTables(const std::vector<VocabularyItem>& items) {
  const bool plain = prefix_.empty() && suffix_.empty();
  cut_at_spaces_ = cut_at_spaces_ && plain && !bytes_ && !ignore_merges_;
  for (unsigned b = 0; b < 256; ++b) {
    std::string name;
    if (bytes_) {
      AppendUtf8(kByteCharacters[b], name);
    } else {
      char code[8];
      std::snprintf(code, sizeof(code), "<0x%02X>", b);
      name = code;
    }
    byte_ids_[b] = vocabulary_.Find(name);
  }
  if (bytes_ || !plain) return;
  low_characters_.assign(0x10000, -1);
  for (const auto& [token, id] : items) {
    if (token.empty() || token.size() > 3) continue;
    if (token.size() != Utf8Length(static_cast<unsigned char>(token[0]))) continue;
    std::size_t position = 0;
    low_characters_[NextCodePoint(token, position)] = static_cast<TokenId>(id);
  }
}

inline const Bpe::MergeSlot* Bpe::FindMerge(TokenId left, TokenId right) const {
  const std::uint64_t pair = PairKey(left, right);
  for (std::size_t i = PairHash(pair) & (merges_.size() - 1);; i = (i + 1) & (merges_.size() - 1)) {
    if (merges_[i].pair == pair) return &merges_[i];
    if (merges_[i].pair == kNoPair) return nullptr;
  }
}

void Bpe::Tokenize(std::string_view piece, WordCache& cache, std::vector<TokenId>& out) const {
  if (!cut_at_spaces_) return TokenizeWord(piece, cache, out);
  // No merge reaches over the beginning of a run of U+2581, so the words are independent.
  std::size_t begin = 0;
  while (begin < piece.size()) {
    std::size_t end = begin;
    while (piece.substr(end, kSpaceMark.size()) == kSpaceMark) end += kSpaceMark.size();
    end = std::min(piece.find(kSpaceMark, end), piece.size());
    TokenizeWord(piece.substr(begin, end - begin), cache, out);
    begin = end;
  }
}

void Bpe::TokenizeWord(std::string_view word, WordCache& cache, std::vector<TokenId>& out) const {
  const bool cached = word.size() <= WordCache::kMaxWordBytes;
  const std::uint64_t hash = cached ? HashBytes(word) : 0;
  if (std::span<const TokenId> ids; cached && cache.Find(word, hash, ids)) {
    out.insert(out.end(), ids.begin(), ids.end());
    return;
  }
  std::vector<TokenId> symbols;
  if (ignore_merges_) {
    std::string spelled;
    if (bytes_) AppendByteLevel(word, spelled);
    const TokenId whole = vocabulary_.Find(bytes_ ? std::string_view(spelled) : word);
    if (whole >= 0) symbols.push_back(whole);
  }
  if (symbols.empty()) {
    Symbols(word, symbols);
    if (symbols.size() <= kShortWord) {
      MergeShort(symbols);
    } else {
      MergeLong(symbols);
    }
  }
  if (cached) cache.Insert(word, hash, symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

TokenId Bpe::SymbolOf(std::string_view character) const {
  if (low_characters_.empty() || character.size() > 3) return vocabulary_.Find(character);
  std::size_t position = 0;
  return low_characters_[NextCodePoint(character, position)];
}

// <0xNN> of every byte, all or none.
bool Bpe::FallBack(std::string_view symbol, std::vector<TokenId>& symbols) const {
  for (const char c : symbol) {
    if (byte_ids_[static_cast<unsigned char>(c)] < 0) return false;
  }
  for (const char c : symbol) symbols.push_back(byte_ids_[static_cast<unsigned char>(c)]);
  return true;
}

void Bpe::Symbols(std::string_view word, std::vector<TokenId>& symbols) const {
  if (bytes_) {
    symbols.reserve(word.size());
    for (const char c : word) {
      const TokenId id = byte_ids_[static_cast<unsigned char>(c)];
      if (id >= 0) {
        symbols.push_back(id);
      } else if (unknown_ >= 0 &&
                 !(fuse_unknown_ && !symbols.empty() && symbols.back() == unknown_)) {
        symbols.push_back(unknown_);
      }
    }
    return;
  }
  // An unknown character waits for the next known one, so that neighbours can fuse; byte tokens
  // pass it, as they do in the reference.
  bool pending = false;
  std::string affixed;
  for (std::size_t i = 0; i < word.size();) {
    const std::size_t length = Utf8Length(static_cast<unsigned char>(word[i]));
    std::string_view symbol = word.substr(i, length);
    if (!prefix_.empty() || !suffix_.empty()) {
      affixed.clear();
      if (i > 0) affixed += prefix_;
      affixed += symbol;
      if (i + length == word.size()) affixed += suffix_;
      symbol = affixed;
    }
    i += length;
    const TokenId id = SymbolOf(symbol);
    if (id >= 0) {
      if (pending) symbols.push_back(unknown_);
      pending = false;
      symbols.push_back(id);
      continue;
    }
    if (byte_fallback_ && FallBack(symbol, symbols)) continue;
    if (unknown_ < 0) continue;
    if (pending && !fuse_unknown_) symbols.push_back(unknown_);
    pending = true;
  }
  if (pending) symbols.push_back(unknown_);
}

void Bpe::MergeShort(std::vector<TokenId>& symbols) const {
  std::size_t n = symbols.size();
  if (n < 2) return;
  std::uint32_t ranks[kShortWord];
  TokenId merged[kShortWord];
  const auto look = [&](std::size_t i) {
    const MergeSlot* merge = FindMerge(symbols[i], symbols[i + 1]);
    ranks[i] = merge == nullptr ? kNoRank : merge->rank;
    merged[i] = merge == nullptr ? -1 : merge->id;
  };
  for (std::size_t i = 0; i + 1 < n; ++i) look(i);
  while (n > 1) {
    const auto best = static_cast<std::size_t>(std::min_element(ranks, ranks + (n - 1)) - ranks);
    if (ranks[best] == kNoRank) break;
    symbols[best] = merged[best];
    for (std::size_t i = best + 1; i + 1 < n; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
      merged[i] = merged[i + 1];
    }
    --n;
    if (best > 0) look(best - 1);
    if (best + 1 < n) look(best);
  }
  symbols.resize(n);
}

// Lowest rank first, leftmost among equals: a heap of candidates over a linked list.
void Bpe::MergeLong(std::vector<TokenId>& symbols) const {
  struct Candidate {
    std::uint64_t order;  // rank, then position
    TokenId id;
    bool operator>(const Candidate& other) const { return order > other.order; }
  };
  constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  const auto n = static_cast<std::uint32_t>(symbols.size());
  std::vector<std::uint32_t> previous(n), next(n);
  std::vector<Candidate> initial;
  const auto candidate = [&](std::uint32_t left, std::uint32_t right, auto&& push) {
    if (const MergeSlot* merge = FindMerge(symbols[left], symbols[right])) {
      push(Candidate{std::uint64_t{merge->rank} << 32 | left, merge->id});
    }
  };
  for (std::uint32_t i = 0; i < n; ++i) {
    previous[i] = i == 0 ? kNone : i - 1;
    next[i] = i + 1 == n ? kNone : i + 1;
    if (i + 1 < n) candidate(i, i + 1, [&](const Candidate& c) { initial.push_back(c); });
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap(std::greater<>(),
                                                                              std::move(initial));
  while (!heap.empty()) {
    const Candidate top = heap.top();
    heap.pop();
    const auto at = static_cast<std::uint32_t>(top.order);
    const std::uint32_t right = next[at];
    if (symbols[at] < 0 || right == kNone) continue;
    const MergeSlot* merge = FindMerge(symbols[at], symbols[right]);
    if (merge == nullptr || merge->id != top.id) continue;  // what it was about has merged since
    symbols[at] = top.id;
    symbols[right] = -1;
    next[at] = next[right];
    if (next[at] != kNone) previous[next[at]] = at;
    const auto push = [&](const Candidate& c) { heap.push(c); };
    if (previous[at] != kNone) candidate(previous[at], at, push);
    if (next[at] != kNone) candidate(at, next[at], push);
  }
  std::erase(symbols, -1);
}

}  // namespace ingot::model
