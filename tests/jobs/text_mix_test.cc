#include "jobs/text_mix.h"

#include <gtest/gtest.h>

namespace ingot::jobs {
namespace {

TEST(TextMix, SelfStandsAloneOrBesideFilesByWeight) {
  const auto none = ParseTexts({}), alone = ParseTexts({"self"});
  ASSERT_TRUE(none.ok() && alone.ok());
  for (const auto& mix : {*none, *alone}) {
    EXPECT_TRUE(mix.own());
    EXPECT_EQ(mix.OwnWindows(32), 32u);
  }
  const auto files = ParseTexts({"a.txt", "b.txt:2"});
  ASSERT_TRUE(files.ok());
  EXPECT_FALSE(files->own());
  EXPECT_EQ(files->OwnWindows(32), 0u);
  const auto both = ParseTexts({"self:1", "a.txt:1", "b.txt:2"});
  ASSERT_TRUE(both.ok());
  ASSERT_EQ(both->files.size(), 2u);
  EXPECT_EQ(both->files[1].weight, 2);
  EXPECT_EQ(both->OwnWindows(32), 8u);
  // However little either weighs, it has a window.
  EXPECT_EQ(ParseTexts({"self:0.001", "a.txt"})->OwnWindows(32), 1u);
  EXPECT_EQ(ParseTexts({"self:1000", "a.txt"})->OwnWindows(32), 31u);
}

TEST(TextMix, TwoOfSelfAndWeightsThatAreNoneAreRefused) {
  for (const std::vector<std::string>& texts :
       {std::vector<std::string>{"self", "self:2"}, {"self:0"}, {"self:none"}, {"a.txt:-1"}})
    EXPECT_EQ(ParseTexts(texts).status().code(), StatusCode::kInvalidArgument) << texts[0];
}

}  // namespace
}  // namespace ingot::jobs
