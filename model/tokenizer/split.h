// Cutting text at matches, with the five ways to treat what matched.
// Thread rule: functions without state.
#pragma once

#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/text/utf8.h"
#include "model/tokenizer/piece.h"

namespace ingot::model {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
Result<SplitBehavior> ParseSplitBehavior(std::string_view name);

struct Span {
  std::size_t begin;
  std::size_t end;
  bool matched;
};

// Appends the pieces of `piece` to `out`. `spans` cover it in order, matches and what lies between;
// it is consumed.
void EmitSplit(const Piece& piece, std::vector<Span>& spans, SplitBehavior behavior,
               std::vector<Piece>& out);

// Spans of `text` by a predicate on characters: every match is a span of its own.
template <typename Predicate>
void SpansOfCharacters(std::string_view text, Predicate&& matches, std::vector<Span>& spans) {
  std::size_t done = 0;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t at = i;
    if (!matches(NextCodePoint(text, i))) continue;
    if (done < at) spans.push_back({done, at, false});
    spans.push_back({at, i, true});
    done = i;
  }
  if (done < text.size()) spans.push_back({done, text.size(), false});
}

}  // namespace ingot::model
