// A text's tokens, and at every moment the longest end of it that stood somewhere before: what
// prompt lookup drafts with and what the share of repetition is counted by. An online suffix
// automaton (Blumer et al., 1985): appending costs the logarithm of the alphabet, amortised,
// whatever the length.
//
// Thread rule: belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "model/tokenizer/token_id.h"

namespace ingot::loader {

class TokenHistory {
 public:
  TokenHistory();

  void Append(model::TokenId id);
  std::span<const model::TokenId> ids() const { return ids_; }

  // Tokens of the longest end of the text that also ends at an earlier place; 0: the last token is
  // new.
  std::size_t match() const { return match_; }
  // The `count` tokens after that earlier place. Where they reach the end of the text they go on
  // with themselves, as a loop does. Empty without a match.
  std::vector<model::TokenId> Continuation(std::size_t count) const;

 private:
  // Texts that end at the same places.
  struct State {
    std::size_t length = 0;  // of the longest of them
    std::uint32_t link = 0;  // the state of the longest end of it that ends at more places
    std::size_t end = 0;     // one past such a place, of those found lately
    std::vector<std::pair<model::TokenId, std::uint32_t>> next;  // by token
  };
  const std::uint32_t* Next(std::uint32_t state, model::TokenId id) const;
  void SetNext(std::uint32_t state, model::TokenId id, std::uint32_t to);
  std::uint32_t Split(std::uint32_t from, std::uint32_t to, model::TokenId id);

  std::vector<model::TokenId> ids_;
  std::vector<State> states_;
  std::uint32_t last_ = 0;
  std::size_t match_ = 0;
  std::size_t match_end_ = 0;
};

}  // namespace ingot::loader
