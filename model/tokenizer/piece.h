// Text on its way through pre-tokenizers: pieces, and what holds the strings they were changed to.
// Thread rule: values.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::model {

struct Piece {
  std::string_view text;
  bool at_start = false;  // begins where the whole input begins
};

// Pieces of one text and the strings that hold what was changed on the way.
struct PieceList {
  std::vector<Piece> pieces;
  std::vector<Piece> next;  // what a step writes
  std::deque<std::string> storage;
};

}  // namespace ingot::model
