#include "loader/speculate/token_history.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace ingot::loader {
namespace {

using model::TokenId;

// The longest end of ids that also ends earlier, by looking.
std::size_t NaiveMatch(std::span<const TokenId> ids) {
  std::size_t best = 0;
  for (std::size_t end = 1; end < ids.size(); ++end) {
    std::size_t n = 0;
    while (n < end && ids[end - 1 - n] == ids[ids.size() - 1 - n]) ++n;
    best = std::max(best, n);
  }
  return best;
}

bool StandsBefore(std::span<const TokenId> ids, std::span<const TokenId> what) {
  for (std::size_t i = 0; i + what.size() < ids.size() + 1; ++i)
    if (std::equal(what.begin(), what.end(), ids.begin() + static_cast<std::ptrdiff_t>(i)))
      return true;
  return false;
}

TEST(TokenHistoryTest, FindsTheLongestMatchOfRandomTexts) {
  for (const std::uint64_t alphabet : {1, 2, 3, 20}) {
    Random random(alphabet);
    TokenHistory history;
    std::size_t matched = 0;
    for (int i = 0; i < 300; ++i) {
      history.Append(static_cast<TokenId>(random.Below(alphabet)));
      ASSERT_EQ(history.match(), NaiveMatch(history.ids())) << alphabet << " " << i;
      if (history.match() == 0) continue;
      ++matched;
      // The match with what follows it does stand in the text.
      std::vector<TokenId> found(history.ids().end() - static_cast<std::ptrdiff_t>(history.match()),
                                 history.ids().end());
      found.push_back(history.Continuation(1).front());
      ASSERT_TRUE(StandsBefore(history.ids(), found)) << alphabet << " " << i;
    }
    EXPECT_GT(matched, 200u) << alphabet;
  }
}

TEST(TokenHistoryTest, ALoopGoesOn) {
  TokenHistory history;
  for (const TokenId id : {9, 1, 2, 3, 1, 2, 3, 1}) history.Append(id);
  EXPECT_EQ(history.match(), 4u);
  EXPECT_EQ(history.Continuation(7), (std::vector<TokenId>{2, 3, 1, 2, 3, 1, 2}));
}

TEST(TokenHistoryTest, TakesWhatCameLastOfTwo) {
  TokenHistory history;
  for (const TokenId id : {1, 2, 7, 1, 2, 8, 1, 2}) history.Append(id);
  EXPECT_EQ(history.match(), 2u);
  EXPECT_EQ(history.Continuation(1), (std::vector<TokenId>{8}));
}

TEST(TokenHistoryTest, NewTokensHaveNoMatch) {
  TokenHistory history;
  EXPECT_EQ(history.match(), 0u);
  for (const TokenId id : {1, 2, 3}) history.Append(id);
  EXPECT_EQ(history.match(), 0u);
  EXPECT_TRUE(history.Continuation(4).empty());
}

}  // namespace
}  // namespace ingot::loader
