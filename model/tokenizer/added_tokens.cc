#include "model/tokenizer/added_tokens.h"

#include <algorithm>

#include "model/text/json_fields.h"
#include "model/text/unicode_class.h"
#include "model/text/utf8.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxAddedTokens = 1 << 20;
constexpr std::size_t kMaxContentBytes = 1 << 10;
constexpr std::size_t kMaxTrieBytes = 64 << 20;  // of all patterns

Result<AddedToken> ParseToken(const Json& spec) {
  AddedToken token;
  INGOT_ASSIGN(token.content, StringField(spec, "content"));
  if (token.content.size() > kMaxContentBytes) {
    return LimitExceeded("token of " + std::to_string(token.content.size()) + " bytes, at most " +
                         std::to_string(kMaxContentBytes));
  }
  INGOT_ASSIGN(token.special, BoolField(spec, "special", false));
  INGOT_ASSIGN(token.single_word, BoolField(spec, "single_word", false));
  INGOT_ASSIGN(token.lstrip, BoolField(spec, "lstrip", false));
  INGOT_ASSIGN(token.rstrip, BoolField(spec, "rstrip", false));
  INGOT_ASSIGN(token.normalized, BoolField(spec, "normalized", !token.special));
  return token;
}

bool TouchesWord(std::string_view text, std::size_t begin, std::size_t end) {
  if (begin > 0) {
    std::size_t before = PreviousStart(text, begin);
    if (IsWord(NextCodePoint(text, before))) return true;
  }
  return end < text.size() && IsWord(NextCodePoint(text, end));
}

}  // namespace

void AddedTokens::Trie::Add(std::string_view pattern, TokenId id) {
  if (pattern.empty()) return;
  starts[static_cast<unsigned char>(pattern[0])] = true;
  std::size_t node = 0;
  for (const char c : pattern) {
    const auto byte = static_cast<unsigned char>(c);
    const auto at = nodes[node].next.find(byte);
    if (at != nodes[node].next.end()) {
      node = static_cast<std::size_t>(at->second);
      continue;
    }
    const auto fresh = static_cast<std::int32_t>(nodes.size());
    nodes[node].next.emplace(byte, fresh);
    nodes.emplace_back();
    node = static_cast<std::size_t>(fresh);
  }
  nodes[node].id = id;  // of two tokens with one normalized form the later one
}

std::size_t AddedTokens::Trie::Longest(std::string_view text, std::size_t position,
                                       TokenId& id) const {
  std::size_t node = 0;
  std::size_t longest = 0;
  for (std::size_t i = position; i < text.size(); ++i) {
    const auto at = nodes[node].next.find(static_cast<unsigned char>(text[i]));
    if (at == nodes[node].next.end()) break;
    node = static_cast<std::size_t>(at->second);
    if (nodes[node].id >= 0) {
      id = nodes[node].id;
      longest = i + 1 - position;
    }
  }
  return longest;
}

Result<AddedTokens> AddedTokens::Parse(const Json* list, const TokenModel& model,
                                       const Normalizer* normalizer) {
  AddedTokens added;
  if (list == nullptr) return added;
  if (!list->is_array()) return Corruption("\"added_tokens\" is not a list");
  if (list->size() > kMaxAddedTokens) return LimitExceeded("too many added tokens");
  // Special tokens come first where two tokens have one text.
  std::vector<std::string> order, special_order;
  TokenId next_id = static_cast<TokenId>(model.vocab_size());
  for (const Json& entry : *list) {
    INGOT_ASSIGN(AddedToken token, ParseToken(entry));
    if (token.content.empty()) continue;
    TokenId id = added.FindId(token.content);
    if (id < 0) id = model.Find(token.content);
    if (id < 0) id = next_id;
    next_id = std::max(next_id, id + 1);
    if (id > kMaxTokenId) return LimitExceeded("added token with id " + std::to_string(id));
    if (token.special && added.special_.emplace(token.content, true).second) {
      special_order.push_back(token.content);
    } else if (!added.special_.contains(token.content)) {
      order.push_back(token.content);
    }
    added.ids_[token.content] = id;
    added.by_id_[id] = std::move(token);
  }
  special_order.insert(special_order.end(), order.begin(), order.end());
  TextScratch scratch;
  std::size_t bytes = 0;
  for (const std::string& content : special_order) bytes += content.size();
  scratch.growth.Begin(bytes);
  bytes = 0;
  for (const std::string& content : special_order) {
    const TokenId id = added.FindId(content);
    AddedToken& token = added.by_id_.at(id);
    token.decoded = content;
    if (!token.normalized) {
      added.raw_.Add(content, id);
    } else {
      std::string storage;
      if (normalizer != nullptr) {
        INGOT_ASSIGN(token.decoded, normalizer->Apply(content, storage, scratch));
      }
      added.normalized_.Add(token.decoded, id);
    }
    bytes += token.decoded.size();
    if (bytes > kMaxTrieBytes)
      return LimitExceeded("added tokens of more than " + std::to_string(kMaxTrieBytes) + " bytes");
  }
  return added;
}

const AddedToken* AddedTokens::Find(TokenId id) const {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : &at->second;
}

TokenId AddedTokens::FindId(std::string_view content) const {
  const auto at = ids_.find(std::string(content));
  return at == ids_.end() ? -1 : at->second;
}

bool AddedTokens::IsSpecial(std::string_view content) const {
  return special_.contains(std::string(content));
}

void AddedTokens::Cut(const Trie& trie, std::string_view text, bool at_start,
                      std::vector<TextSection>& out) const {
  std::size_t done = 0;
  for (std::size_t i = 0; i < text.size();) {
    TokenId id = -1;
    const std::size_t length =
        trie.starts[static_cast<unsigned char>(text[i])] ? trie.Longest(text, i, id) : 0;
    if (length == 0) {
      ++i;
      continue;
    }
    std::size_t begin = i;
    std::size_t end = i + length;
    i = end;
    const AddedToken& token = by_id_.at(id);
    if (token.single_word && TouchesWord(text, begin, end)) continue;
    while (token.lstrip && begin > done) {
      const std::size_t before = PreviousStart(text, begin);
      std::size_t position = before;
      if (!IsWhitespace(NextCodePoint(text, position))) break;
      begin = before;
    }
    while (token.rstrip && end < text.size()) {
      std::size_t position = end;
      if (!IsWhitespace(NextCodePoint(text, position))) break;
      end = position;
    }
    begin = std::max(begin, done);
    if (done < begin) out.push_back({text.substr(done, begin - done), -1, at_start && done == 0});
    out.push_back({text.substr(begin, end - begin), id, at_start && begin == 0});
    done = end;
  }
  if (done < text.size()) out.push_back({text.substr(done), -1, at_start && done == 0});
}

}  // namespace ingot::model
