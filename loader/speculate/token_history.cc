#include "loader/speculate/token_history.h"

#include <algorithm>

namespace ingot::loader {
namespace {

constexpr std::uint32_t kRoot = 0;
constexpr std::uint32_t kNone = UINT32_MAX;
// Shorter matches that hear of a new place when a longer one does: all of them would make a text of
// one token quadratic.
constexpr int kTold = 8;

}  // namespace

TokenHistory::TokenHistory() {
  states_.emplace_back();
  states_[kRoot].link = kNone;
}

const std::uint32_t* TokenHistory::Next(std::uint32_t state, model::TokenId id) const {
  const auto& next = states_[state].next;
  const auto at =
      std::ranges::lower_bound(next, id, {}, [](const auto& edge) { return edge.first; });
  return at != next.end() && at->first == id ? &at->second : nullptr;
}

void TokenHistory::SetNext(std::uint32_t state, model::TokenId id, std::uint32_t to) {
  auto& next = states_[state].next;
  const auto at =
      std::ranges::lower_bound(next, id, {}, [](const auto& edge) { return edge.first; });
  if (at != next.end() && at->first == id)
    at->second = to;
  else
    next.insert(at, {id, to});
}

// The texts of `to` that `from` reaches by `id` end at one place more than its longer ones: a state
// of their own.
std::uint32_t TokenHistory::Split(std::uint32_t from, std::uint32_t to, model::TokenId id) {
  const auto copy = static_cast<std::uint32_t>(states_.size());
  State state = states_[to];
  state.length = states_[from].length + 1;
  states_.push_back(std::move(state));
  states_[to].link = copy;
  for (std::uint32_t s = from; s != kNone; s = states_[s].link) {
    const std::uint32_t* next = Next(s, id);
    if (next == nullptr || *next != to) break;
    SetNext(s, id, copy);
  }
  return copy;
}

void TokenHistory::Append(model::TokenId id) {
  ids_.push_back(id);
  const auto added = static_cast<std::uint32_t>(states_.size());
  State state;
  state.length = state.end = ids_.size();
  states_.push_back(std::move(state));
  std::uint32_t s = last_;
  for (; s != kNone && Next(s, id) == nullptr; s = states_[s].link) SetNext(s, id, added);
  std::uint32_t link = kRoot;
  if (s != kNone) {
    link = *Next(s, id);
    if (states_[link].length != states_[s].length + 1) link = Split(s, link, id);
  }
  states_[added].link = link;
  last_ = added;
  match_ = states_[link].length;
  match_end_ = states_[link].end;
  int told = 0;
  for (std::uint32_t t = link; t != kRoot && told < kTold; t = states_[t].link, ++told)
    states_[t].end = ids_.size();
}

std::vector<model::TokenId> TokenHistory::Continuation(std::size_t count) const {
  std::vector<model::TokenId> result;
  if (match_ == 0) return result;
  while (result.size() < count) {
    const std::size_t at = match_end_ + result.size();
    result.push_back(at < ids_.size() ? ids_[at] : result[at - ids_.size()]);
  }
  return result;
}

}  // namespace ingot::loader
