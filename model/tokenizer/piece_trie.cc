#include "model/tokenizer/piece_trie.h"

#include <string>

namespace ingot::model {
namespace {

constexpr std::size_t kMaxNodes = std::size_t{1} << 27;

}  // namespace

PieceTrie::PieceTrie() : edges_(1024), ids_(1, -1) {}

Status PieceTrie::Add(std::string_view piece, TokenId id) {
  if (piece.empty()) return OkStatus();
  if (piece.size() > kMaxNodes - ids_.size())
    return LimitExceeded("vocabulary of more than " + std::to_string(kMaxNodes) + " bytes");
  std::uint32_t node = 0;
  for (std::size_t i = 0; i < piece.size(); ++i) {
    const auto byte = static_cast<unsigned char>(piece[i]);
    std::uint32_t child = i == 0 ? root_[byte] : Child(node, byte);
    if (child == kNoNode) {
      child = static_cast<std::uint32_t>(ids_.size());
      ids_.push_back(-1);
      if (i == 0) {
        root_[byte] = child;
      } else {
        if (++edge_count_ * 2 > edges_.size()) Grow();
        Enter(Key(node, byte), child);
      }
    }
    node = child;
  }
  ids_[node] = id;
  return OkStatus();
}

void PieceTrie::Enter(std::uint64_t key, std::uint32_t child) {
  std::size_t i = Hash(key) & (edges_.size() - 1);
  while (edges_[i].key != Edge().key) i = (i + 1) & (edges_.size() - 1);
  edges_[i] = {key, child};
}

void PieceTrie::Grow() {
  std::vector<Edge> old(edges_.size() * 2);
  old.swap(edges_);
  for (const Edge& edge : old)
    if (edge.key != Edge().key) Enter(edge.key, edge.child);
}

}  // namespace ingot::model
