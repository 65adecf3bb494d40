// When to stop drafting: what drafts of a text would have been right, place by place, and what a
// rule that chooses their lengths makes of that, in time that is reckoned from measured steps. So
// rules are compared over the same drafts and the same clock, whatever else the machine does.
//
// Thread rule: values and functions without state.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace ingot::jobs {

inline constexpr std::size_t kLongestStop = 8;  // tokens of a draft

// The draft after one token of a text.
struct DraftPlace {
  std::size_t right = 0;  // tokens that the text goes on with, before the first that it does not
  std::vector<double> probability;  // that the draft gave each of its tokens
};

// Seconds of a drafted token, and of a whole step by its rows, 1 ... kLongestStop + 1 (0 is
// unused).
struct StopTimes {
  double draft = 0;
  std::array<double, kLongestStop + 2> step{};
};

// Seconds that a text takes where `length` (place) says how many tokens are drafted after it.
double SecondsBy(std::span<const DraftPlace> text, const StopTimes& times,
                 const std::function<std::size_t(std::size_t place)>& length);
// Where the rule is the least that any can take: it knows what is right, and what comes later.
double LeastSeconds(std::span<const DraftPlace> text, const StopTimes& times);
// As loader::DraftPolicy decides, by model drafts alone.
double AdaptiveSeconds(std::span<const DraftPlace> text, const StopTimes& times);

}  // namespace ingot::jobs
