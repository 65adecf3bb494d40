// Remembers the ids of words. Thread rule: belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/token_id.h"
#include "model/tokenizer/vocabulary.h"

namespace ingot::model {

class WordCache {
 public:
  static constexpr std::size_t kMaxWordBytes = 64;

  // The ids of `word`, or false. The span lives until the next Insert. REQUIRES: hash is
  // HashBytes(word).
  bool Find(std::string_view word, std::uint64_t hash, std::span<const TokenId>& ids) const {
    if (slots_.empty()) return false;
    for (std::size_t i = hash & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[i];
      if (slot.id_count == 0) return false;
      if (slot.hash == hash && std::string_view(bytes_).substr(slot.word, slot.bytes) == word) {
        ids = {ids_.data() + slot.ids, slot.id_count};
        return true;
      }
    }
  }

  // Ignored when the word is long or has no ids; a full cache begins anew.
  void Insert(std::string_view word, std::uint64_t hash, std::span<const TokenId> ids) {
    if (word.size() > kMaxWordBytes || ids.empty()) return;
    if (slots_.empty()) slots_.resize(kSlots);
    if (used_ >= kSlots / 2) {
      slots_.assign(kSlots, Slot{});
      bytes_.clear();
      ids_.clear();
      used_ = 0;
    }
    std::size_t i = hash & (kSlots - 1);
    while (slots_[i].id_count != 0) i = (i + 1) & (kSlots - 1);
    slots_[i] = {hash, static_cast<std::uint32_t>(bytes_.size()),
                 static_cast<std::uint32_t>(ids_.size()), static_cast<std::uint16_t>(word.size()),
                 static_cast<std::uint16_t>(ids.size())};
    bytes_ += word;
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    ++used_;
  }

 private:
  static constexpr std::size_t kSlots = 1 << 16;
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t word = 0;
    std::uint32_t ids = 0;
    std::uint16_t bytes = 0;
    std::uint16_t id_count = 0;  // 0: free
  };
  std::vector<Slot> slots_;
  std::string bytes_;
  std::vector<TokenId> ids_;
  std::size_t used_ = 0;
};

}  // namespace ingot::model
