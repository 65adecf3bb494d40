// Tokens that are cut out of a text before anything else looks at it: special tokens and others
// that were added to a vocabulary. Thread rule: immutable once made.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/token_model.h"

namespace ingot::model {

struct AddedToken {
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and behind it
  bool normalized = true;    // found in the normalized text
  bool special = false;
  std::string decoded;  // what decoders see: the normalized content of a normalized token
};

// A stretch of text, or a token found in it (id >= 0).
struct TextSection {
  std::string_view text;
  TokenId id = -1;
  bool at_start = false;
};

class AddedTokens {
 public:
  // From the `added_tokens` list (may be null). Ids follow the vocabulary where it knows the token.
  static Result<AddedTokens> Parse(const nlohmann::json* list, const TokenModel& model,
                                   const Normalizer* normalizer);

  // Cuts `text` at raw tokens, or at those found in normalized text. Empty stretches are dropped.
  void CutRaw(std::string_view text, bool at_start, std::vector<TextSection>& out) const {
    Cut(raw_, text, at_start, out);
  }
  void CutNormalized(std::string_view text, bool at_start, std::vector<TextSection>& out) const {
    Cut(normalized_, text, at_start, out);
  }

  const AddedToken* Find(TokenId id) const;
  TokenId FindId(std::string_view content) const;  // -1: none
  bool IsSpecial(std::string_view content) const;
  TokenId max_id() const { return by_id_.empty() ? -1 : by_id_.rbegin()->first; }

 private:
  // Leftmost-longest search for any of the patterns: a trie in flat arrays.
  struct Trie {
    struct Node {
      std::map<unsigned char, std::int32_t> next;
      TokenId id = -1;
    };
    std::vector<Node> nodes{Node{}};
    bool starts[256] = {};
    void Add(std::string_view pattern, TokenId id);
    // The longest pattern at `position`; 0 bytes where there is none.
    std::size_t Longest(std::string_view text, std::size_t position, TokenId& id) const;
  };
  void Cut(const Trie& trie, std::string_view text, bool at_start,
           std::vector<TextSection>& out) const;

  std::map<TokenId, AddedToken> by_id_;
  std::unordered_map<std::string, TokenId> ids_;
  std::unordered_map<std::string, bool> special_;
  Trie raw_, normalized_;
};

}  // namespace ingot::model
