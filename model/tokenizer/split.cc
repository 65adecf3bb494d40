#include "model/tokenizer/split.h"

#include <algorithm>
#include <string>

namespace ingot::model {
namespace {

// Joins neighbours in place. `join(previous, current)` says whether a span extends the one before
// it.
template <typename Join>
void JoinSpans(std::vector<Span>& spans, Join&& join) {
  std::size_t kept = 0;
  bool previous = false;
  for (std::size_t i = 0; i < spans.size(); ++i) {
    const Span span = spans[i];
    if (kept > 0 && join(previous, span.matched)) {
      spans[kept - 1].end = span.end;
    } else {
      spans[kept++] = span;
    }
    previous = span.matched;
  }
  spans.resize(kept);
}

// The same from the back: a match extends the span behind it.
void JoinWithNext(std::vector<Span>& spans) {
  std::size_t kept = spans.size();
  bool previous = false;
  for (std::size_t i = spans.size(); i-- > 0;) {
    const Span span = spans[i];
    if (span.matched && !previous && kept < spans.size()) {
      spans[kept].begin = span.begin;
    } else {
      spans[--kept] = span;
    }
    previous = span.matched;
  }
  spans.erase(spans.begin(), spans.begin() + static_cast<std::ptrdiff_t>(kept));
}

}  // namespace

Result<SplitBehavior> ParseSplitBehavior(std::string_view name) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return Corruption("split behavior " + std::string(name) + " is unknown");
}

void EmitSplit(const Piece& piece, std::vector<Span>& spans, SplitBehavior behavior,
               std::vector<Piece>& out) {
  switch (behavior) {
    case SplitBehavior::kMergedWithPrevious:
      JoinSpans(spans, [](bool previous, bool current) { return current && !previous; });
      break;
    case SplitBehavior::kMergedWithNext:
      JoinWithNext(spans);
      break;
    case SplitBehavior::kContiguous:
      JoinSpans(spans, [](bool previous, bool current) { return current == previous; });
      break;
    case SplitBehavior::kRemoved:
    case SplitBehavior::kIsolated:
      break;
  }
  for (const Span& span : spans) {
    if (span.begin == span.end) continue;
    if (span.matched && behavior == SplitBehavior::kRemoved) continue;
    out.push_back(
        {piece.text.substr(span.begin, span.end - span.begin), piece.at_start && span.begin == 0});
  }
}

}  // namespace ingot::model
