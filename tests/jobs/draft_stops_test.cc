// What rules for the ends of drafts make of drafts that are known.
#include "jobs/draft_stops.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace ingot::jobs {
namespace {

StopTimes Times(double draft, double row) {
  StopTimes times;
  times.draft = draft;
  for (std::size_t r = 1; r < times.step.size(); ++r)
    times.step[r] = 1 + row * static_cast<double>(r - 1);
  return times;
}

// Places of a text, each with as many right as said.
std::vector<DraftPlace> Places(const std::vector<std::size_t>& right) {
  std::vector<DraftPlace> places;
  for (const std::size_t r : right) places.push_back({r, std::vector<double>(kLongestStop, 0.9)});
  return places;
}

TEST(DraftStops, FixedLengthsAreAddedUp) {
  const auto places = Places({2, 1, 0, 0, 1, 0});
  const StopTimes times = Times(0.25, 0.125);
  const auto of = [&](std::size_t length) {
    return SecondsBy(places, times, [&](std::size_t) { return length; });
  };
  EXPECT_EQ(of(0), 6);
  EXPECT_EQ(of(1), 4 * 1.375);  // from places 0, 2, 3, 4
  EXPECT_EQ(of(2), 3 * 1.75);   // from places 0, 3, 4
  EXPECT_EQ(SecondsBy(places, times, [](std::size_t at) { return at == 0 ? 2 : 0; }), 1.75 + 3);
}

TEST(DraftStops, TheLeastIsNotBeaten) {
  Random random(3);
  for (int text = 0; text < 20; ++text) {
    std::vector<std::size_t> right;
    for (std::size_t i = 0; i < 40; ++i)
      right.push_back(std::min<std::size_t>(random.Below(5), 39 - i));
    const auto places = Places(right);
    const StopTimes times = Times(0.05 + 0.5 * random.Uniform(), 0.2 * random.Uniform());
    const double least = LeastSeconds(places, times);
    for (std::size_t length = 0; length <= kLongestStop; ++length)
      EXPECT_LE(least, SecondsBy(places, times, [&](std::size_t) { return length; }) + 1e-9);
    EXPECT_LE(least, AdaptiveSeconds(places, times) + 1e-9);
    for (int rule = 0; rule < 50; ++rule) {
      Random lengths(static_cast<std::uint64_t>(rule));
      EXPECT_LE(least,
                SecondsBy(places, times, [&](std::size_t) { return lengths.Below(6); }) + 1e-9);
    }
  }
  // What is right is taken where it pays, and nothing else is drafted.
  EXPECT_EQ(LeastSeconds(Places({3, 2, 1, 0, 0}), Times(0.25, 0)), 1.75 + 1);
  EXPECT_EQ(LeastSeconds(Places({3, 2, 1, 0, 0}), Times(1.5, 0)), 5);
}

TEST(DraftStops, AdaptiveLengthsFollowWhatIsAccepted) {
  std::vector<std::size_t> right, none(400, 0);
  for (std::size_t i = 0; i < 400; ++i) right.push_back(std::min<std::size_t>(8, 399 - i));
  const StopTimes times = Times(0.3, 0.02);
  const double fixed = SecondsBy(Places(right), times, [](std::size_t) { return 8; });
  EXPECT_LT(AdaptiveSeconds(Places(right), times), 1.3 * fixed);
  EXPECT_LT(AdaptiveSeconds(Places(none), times), 1.1 * 400);
}

}  // namespace
}  // namespace ingot::jobs
