#include "model/vocabulary.h"

namespace ingot::model {

void Vocabulary::Grow() {
  slots_.assign(slots_.empty() ? 64 : slots_.size() * 2, -1);
  for (std::size_t e = 0; e < entries_.size(); ++e) {
    std::size_t i = entries_[e].hash & (slots_.size() - 1);
    while (slots_[i] >= 0) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = static_cast<std::int32_t>(e);
  }
}

Status Vocabulary::Add(std::string_view token, std::int64_t id) {
  if (id < 0 || id > kMaxTokenId) {
    return Corruption("token id " + std::to_string(id) + " is not between 0 and " +
                      std::to_string(kMaxTokenId));
  }
  if (token.size() > UINT32_MAX - text_.size()) return LimitExceeded("vocabulary beyond 4 GiB");
  if (entries_.size() * 2 >= slots_.size()) Grow();
  const std::uint64_t hash = HashBytes(token);
  std::size_t i = hash & (slots_.size() - 1);
  for (; slots_[i] >= 0; i = (i + 1) & (slots_.size() - 1)) {
    const Entry& entry = entries_[static_cast<std::size_t>(slots_[i])];
    if (entry.hash == hash && TextOf(entry) == token) {
      return Corruption("token " + std::string(token) + " is in the vocabulary twice");
    }
  }
  const auto index = static_cast<std::int32_t>(entries_.size());
  slots_[i] = index;
  entries_.push_back({static_cast<std::uint32_t>(text_.size()),
                      static_cast<std::uint32_t>(token.size()), hash, static_cast<TokenId>(id)});
  text_ += token;
  const auto at = static_cast<std::size_t>(id);
  if (at >= by_id_.size()) by_id_.resize(at + 1, -1);
  if (by_id_[at] < 0) by_id_[at] = index;
  return OkStatus();
}

TokenId Vocabulary::Find(std::string_view token) const {
  if (slots_.empty()) return -1;
  const std::uint64_t hash = HashBytes(token);
  for (std::size_t i = hash & (slots_.size() - 1); slots_[i] >= 0;
       i = (i + 1) & (slots_.size() - 1)) {
    const Entry& entry = entries_[static_cast<std::size_t>(slots_[i])];
    if (entry.hash == hash && TextOf(entry) == token) return entry.id;
  }
  return -1;
}

std::string_view Vocabulary::TokenOf(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= by_id_.size()) return {};
  const std::int32_t entry = by_id_[static_cast<std::size_t>(id)];
  return entry < 0 ? std::string_view() : TextOf(entries_[static_cast<std::size_t>(entry)]);
}

}  // namespace ingot::model
