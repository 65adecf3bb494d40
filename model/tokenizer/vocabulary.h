// Tokens by id and ids by token. Thread rule: immutable once filled.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/token_id.h"
#include "model/tokenizer/tokenizer_document.h"

namespace ingot::model {

// Larger ids are refused: they would make tables of gigabytes out of a small file.
inline constexpr TokenId kMaxTokenId = (4 << 20) - 1;

// 64 bits that depend on all of `bytes`.
inline std::uint64_t HashBytes(std::string_view bytes) {
  constexpr std::uint64_t kMix = 0x9E3779B97F4A7C15u;
  std::uint64_t hash = bytes.size() * kMix;
  const char* p = bytes.data();
  std::size_t n = bytes.size();
  for (; n >= 8; n -= 8, p += 8) {
    std::uint64_t word;
    std::memcpy(&word, p, 8);
    hash = (hash ^ word) * kMix;
    hash ^= hash >> 32;
  }
  std::uint64_t tail = 0;
  for (std::size_t i = 0; i < n; ++i) {
    tail |= std::uint64_t{static_cast<unsigned char>(p[i])} << (8 * i);
  }
  hash = (hash ^ tail) * kMix;
  hash ^= hash >> 29;
  hash *= 0xBF58476D1CE4E5B9u;
  return hash ^ hash >> 32;
}

class Vocabulary {
 public:
  // Enters all items. Corruption for an id out of range. Of a token given twice the last id counts,
  // as in the reference's maps; an id given twice keeps its first token in the order of bytes.
  // REQUIRES: empty.
  Status Fill(const std::vector<VocabularyItem>& items);
  TokenId Find(std::string_view token) const {  // -1: absent
    if (slots_.empty()) return -1;
    const std::uint64_t hash = HashBytes(token);
    for (std::size_t i = hash & (slots_.size() - 1); slots_[i].entry >= 0;
         i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].tag != Tag(hash)) continue;
      const Entry& entry = entries_[static_cast<std::size_t>(slots_[i].entry)];
      if (TextOf(entry) == token) return entry.id;
    }
    return -1;
  }
  std::string_view TokenOf(TokenId id) const;  // empty: absent
  std::size_t size() const { return entries_.size(); }
  TokenId max_id() const { return static_cast<TokenId>(by_id_.size()) - 1; }

 private:
  struct Entry {
    std::uint32_t begin;
    std::uint32_t bytes;
    TokenId id;
  };
  struct Slot {
    std::int32_t entry = -1;  // -1: free
    std::uint32_t tag = 0;    // bits of the hash that do not choose the slot
  };
  static std::uint32_t Tag(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
  std::string_view TextOf(const Entry& entry) const {
    return {text_.data() + entry.begin, entry.bytes};
  }
  void Add(const VocabularyItem& item);

  std::string text_;
  std::vector<Entry> entries_;
  std::vector<Slot> slots_;          // a power of two of them, at most half used
  std::vector<std::int32_t> by_id_;  // entry index, -1: none
};

}  // namespace ingot::model
