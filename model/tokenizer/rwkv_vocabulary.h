// RWKV's world vocabulary (rwkv_vocab_v20230424.txt): a line a token, its id, the token as Python
// writes it ('text' or b'bytes'), the bytes it has; and the trie that finds the longest token at a
// position.
//
// Thread rule: immutable once read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::model {

class RwkvVocabulary {
 public:
  // Corruption names the line: a literal that Python would not read, a length that does not fit, an
  // id or a token given twice; or the byte that no token is, so that not every text could be
  // written.
  static Result<RwkvVocabulary> Parse(std::string_view text);

  // The longest token that `bytes` starts with. REQUIRES: bytes is not empty.
  struct Match {
    TokenId id;
    std::size_t bytes;
  };
  Match Longest(std::string_view bytes) const;

  // Empty for an id that has no token; id 0 ends a text and has none.
  const std::string& Token(TokenId id) const;
  std::size_t size() const { return tokens_.size(); }  // largest id + 1

 private:
  // Children of a node lie side by side, sorted by the byte that leads to them.
  struct Node {
    std::uint32_t first_child = 0;
    std::uint32_t children = 0;
    TokenId token = -1;
  };
  Status AddLine(std::string_view line);
  Status BuildTrie();
  // The child of node `at` by `byte`, 0 where there is none.
  std::uint32_t Child(std::uint32_t at, unsigned char byte) const;

  std::vector<std::string> tokens_;    // by id
  std::vector<Node> nodes_;            // the root first
  std::vector<unsigned char> labels_;  // the byte that leads to a node
};

}  // namespace ingot::model
