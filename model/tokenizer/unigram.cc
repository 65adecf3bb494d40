#include "model/tokenizer/unigram.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "model/text/json_fields.h"
#include "model/text/utf8.h"

namespace ingot::model {
namespace {

constexpr double kUnknownPenalty = 10;
constexpr std::size_t kMaxTrieNodes = std::size_t{1} << 27;

std::uint64_t EdgeKey(std::uint32_t node, unsigned char byte) {
  return std::uint64_t{node} << 8 | byte;
}
std::size_t EdgeHash(std::uint64_t key) {
  const std::uint64_t mixed = key * 0x9E3779B97F4A7C15u;
  return mixed ^ mixed >> 32;
}

}  // namespace

Result<std::unique_ptr<Unigram>> Unigram::Parse(const TokenizerDocument& document,
                                                const nlohmann::json& spec) {
  auto made = std::make_unique<Unigram>();
  if (!document.scores) return Corruption("\"vocab\" is not a list of tokens and scores");
  INGOT_ASSIGN(made->byte_fallback_, BoolField(spec, "byte_fallback", false));
  std::vector<VocabularyItem> items;
  items.reserve(document.scores->size());
  double lowest = HUGE_VAL;
  std::size_t bytes = 0;
  for (const ScoredItem& item : *document.scores) {
    if (!std::isfinite(item.score))
      return Corruption("score of token " + std::string(item.token) + " is not finite");
    items.push_back({item.token, static_cast<std::int64_t>(items.size())});
    made->scores_.push_back(item.score);
    lowest = std::min(lowest, item.score);
    bytes += item.token.size();
  }
  INGOT_TRY(made->vocabulary_.Fill(items));
  if (bytes > kMaxTrieNodes)
    return LimitExceeded("vocabulary of " + std::to_string(bytes) + " bytes");
  if (FindField(spec, "unk_id") != nullptr) {
    INGOT_ASSIGN(const std::uint64_t id, UnsignedField(spec, "unk_id", kMaxTokenId));
    if (id >= items.size())
      return Corruption("\"unk_id\" " + std::to_string(id) + " is outside a vocabulary of " +
                        std::to_string(items.size()));
    made->unknown_ = static_cast<TokenId>(id);
  }
  made->unknown_score_ = lowest - kUnknownPenalty;
  made->node_id_.assign(1, -1);
  made->GrowEdges();
  for (const VocabularyItem& item : items)
    made->AddToTrie(item.token, static_cast<TokenId>(item.id));
  for (unsigned b = 0; b < 256; ++b) {
    made->root_[b] = made->Child(0, static_cast<unsigned char>(b));
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", b);
    made->byte_ids_[b] = made->vocabulary_.Find(name);
  }
  return made;
}

void Unigram::GrowEdges() {
  std::vector<Edge> old(std::max<std::size_t>(1024, edges_.size() * 2));
  old.swap(edges_);
  for (const Edge& edge : old) {
    if (edge.key == Edge().key) continue;
    std::size_t i = EdgeHash(edge.key) & (edges_.size() - 1);
    while (edges_[i].key != Edge().key) i = (i + 1) & (edges_.size() - 1);
    edges_[i] = edge;
  }
}

inline std::uint32_t Unigram::Child(std::uint32_t node, unsigned char byte) const {
  const std::uint64_t key = EdgeKey(node, byte);
  for (std::size_t i = EdgeHash(key) & (edges_.size() - 1);; i = (i + 1) & (edges_.size() - 1)) {
    if (edges_[i].key == key) return edges_[i].child;
    if (edges_[i].key == Edge().key) return 0;
  }
}

void Unigram::AddToTrie(std::string_view token, TokenId id) {
  if (token.empty()) return;
  std::uint32_t node = 0;
  for (const char c : token) {
    const auto byte = static_cast<unsigned char>(c);
    std::uint32_t child = Child(node, byte);
    if (child == 0) {
      if (++edge_count_ * 2 > edges_.size()) GrowEdges();
      child = static_cast<std::uint32_t>(node_id_.size());
      node_id_.push_back(-1);
      const std::uint64_t key = EdgeKey(node, byte);
      std::size_t i = EdgeHash(key) & (edges_.size() - 1);
      while (edges_[i].key != Edge().key) i = (i + 1) & (edges_.size() - 1);
      edges_[i] = {key, child};
    }
    node = child;
  }
  node_id_[node] = id;
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
    std::uint32_t node = root_[static_cast<unsigned char>(text[begin])];
    for (std::size_t end = begin + 1; node != 0; ++end) {
      if (const TokenId id = node_id_[node]; id >= 0) {
        offer(end, scores_[static_cast<std::size_t>(id)] + score, begin, id);
        has_character |= end - begin == character;
      }
      if (end == text.size()) break;
      node = Child(node, static_cast<unsigned char>(text[end]));
    }
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
