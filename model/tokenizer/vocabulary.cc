#include "model/tokenizer/vocabulary.h"

#include <algorithm>

namespace ingot::model {

Status Vocabulary::Fill(const std::vector<VocabularyItem>& items) {
  std::size_t slots = 64, bytes = 0;
  std::int64_t max_id = -1;
  while (slots < items.size() * 2) slots *= 2;
  for (const VocabularyItem& item : items) {
    if (item.id < 0 || item.id > kMaxTokenId) {
      return Corruption("token id " + std::to_string(item.id) + " is not between 0 and " +
                        std::to_string(kMaxTokenId));
    }
    max_id = std::max(max_id, item.id);
    bytes += item.token.size();
  }
  if (bytes > UINT32_MAX) return LimitExceeded("vocabulary beyond 4 GiB");
  slots_.assign(slots, Slot{});
  entries_.reserve(items.size());
  text_.reserve(bytes);
  by_id_.assign(static_cast<std::size_t>(max_id + 1), -1);
  // From the last: what is there already stays.
  for (auto item = items.rbegin(); item != items.rend(); ++item) Add(*item);
  return OkStatus();
}

void Vocabulary::Add(const VocabularyItem& item) {
  const std::uint64_t hash = HashBytes(item.token);
  std::size_t i = hash & (slots_.size() - 1);
  for (; slots_[i].entry >= 0; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].tag != Tag(hash)) continue;
    if (TextOf(entries_[static_cast<std::size_t>(slots_[i].entry)]) == item.token) return;
  }
  const auto index = static_cast<std::int32_t>(entries_.size());
  slots_[i] = {index, Tag(hash)};
  entries_.push_back({static_cast<std::uint32_t>(text_.size()),
                      static_cast<std::uint32_t>(item.token.size()),
                      static_cast<TokenId>(item.id)});
  text_ += item.token;
  std::int32_t& named = by_id_[static_cast<std::size_t>(item.id)];
  if (named < 0 || item.token < TextOf(entries_[static_cast<std::size_t>(named)])) named = index;
}

std::string_view Vocabulary::TokenOf(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= by_id_.size()) return {};
  const std::int32_t entry = by_id_[static_cast<std::size_t>(id)];
  return entry < 0 ? std::string_view() : TextOf(entries_[static_cast<std::size_t>(entry)]);
}

}  // namespace ingot::model
