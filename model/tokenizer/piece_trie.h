// Pieces by their bytes: a trie whose edges lie in one hash table.
// Thread rule: immutable once filled; const methods may be called from several threads.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/token_id.h"

namespace ingot::model {

class PieceTrie {
 public:
  static constexpr std::uint32_t kNoNode = 0;  // the root is no node's child

  PieceTrie();
  // Of two equal pieces the later one's id stays. Limit past 2^27 bytes of pieces in all.
  Status Add(std::string_view piece, TokenId id);

  std::uint32_t First(unsigned char byte) const { return root_[byte]; }
  std::uint32_t Child(std::uint32_t node, unsigned char byte) const {
    const std::uint64_t key = Key(node, byte);
    for (std::size_t i = Hash(key) & (edges_.size() - 1);; i = (i + 1) & (edges_.size() - 1)) {
      if (edges_[i].key == key) return edges_[i].child;
      if (edges_[i].key == Edge().key) return kNoNode;
    }
  }
  TokenId IdAt(std::uint32_t node) const { return ids_[node]; }  // -1: no piece ends there

  // Calls `sink(end, id)` for every piece that begins at `begin`, shortest first.
  template <typename Sink>
  void ForEachPrefix(std::string_view text, std::size_t begin, Sink&& sink) const {
    std::uint32_t node = First(static_cast<unsigned char>(text[begin]));
    for (std::size_t end = begin + 1; node != kNoNode; ++end) {
      if (ids_[node] >= 0) sink(end, ids_[node]);
      if (end == text.size()) break;
      node = Child(node, static_cast<unsigned char>(text[end]));
    }
  }

 private:
  struct Edge {
    std::uint64_t key = ~std::uint64_t{0};
    std::uint32_t child = 0;
  };
  static std::uint64_t Key(std::uint32_t node, unsigned char byte) {
    return std::uint64_t{node} << 8 | byte;
  }
  static std::size_t Hash(std::uint64_t key) {
    const std::uint64_t mixed = key * 0x9E3779B97F4A7C15u;
    return mixed ^ mixed >> 32;
  }
  void Enter(std::uint64_t key, std::uint32_t child);
  void Grow();

  std::vector<Edge> edges_;   // open addressing, a power of two, at most half used
  std::vector<TokenId> ids_;  // by node
  std::array<std::uint32_t, 256> root_{};
  std::size_t edge_count_ = 0;
};

}  // namespace ingot::model
