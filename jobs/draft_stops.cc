#include "jobs/draft_stops.h"

#include <algorithm>

#include "loader/speculate/draft_policy.h"

namespace ingot::jobs {

using loader::DraftPolicy;

double SecondsBy(std::span<const DraftPlace> text, const StopTimes& times,
                 const std::function<std::size_t(std::size_t place)>& length) {
  double seconds = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t drafted = std::min(length(at), text[at].probability.size());
    seconds += static_cast<double>(drafted) * times.draft + times.step[drafted + 1];
    at += std::min(drafted, text[at].right) + 1;
  }
  return seconds;
}

// From the end on: the least of what is left.
double LeastSeconds(std::span<const DraftPlace> text, const StopTimes& times) {
  std::vector<double> left(text.size() + 1, 0.0);
  for (std::size_t at = text.size(); at-- > 0;) {
    left[at] = times.step[1] + left[at + 1];
    for (std::size_t drafted = 1; drafted <= text[at].right; ++drafted)
      left[at] = std::min(left[at], static_cast<double>(drafted) * times.draft +
                                        times.step[drafted + 1] + left[at + drafted + 1]);
  }
  return left.front();
}

double AdaptiveSeconds(std::span<const DraftPlace> text, const StopTimes& times) {
  DraftPolicy policy({.model = true,
                      .row_seconds = times.step[2] - times.step[1],
                      .model_share = times.draft / times.step[1]});
  double seconds = 0;
  for (std::size_t at = 0; at < text.size();) {
    const DraftPlace& place = text[at];
    const loader::DraftPlan plan = policy.Choose(0, place.probability.size());
    const auto confidence = [&](std::size_t i) {
      return loader::ConfidenceOfProbability(place.probability[i]);
    };
    std::size_t drafted = 0;
    if (plan.source == loader::DraftSource::kModel) {
      do ++drafted;
      while (policy.GoesOn(plan, drafted, confidence(drafted - 1)));
      policy.DraftTook(drafted, static_cast<double>(drafted) * times.draft);
    }
    policy.StepTook(drafted + 1, times.step[drafted + 1]);
    const std::size_t right = std::min(drafted, place.right);
    for (std::size_t i = 0; i < std::min(right + 1, drafted); ++i)
      policy.ModelWas(confidence(i), i < right);
    policy.Gave(right + 1);
    seconds += static_cast<double>(drafted) * times.draft + times.step[drafted + 1];
    at += right + 1;
  }
  return seconds;
}

}  // namespace ingot::jobs
