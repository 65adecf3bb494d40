// How fast a text is decoded one way against another: the same tokens, one by one and in turns, so
// that what else the machine does meets both.
//
// Thread rule: a function without state.
#pragma once

#include <memory>
#include <span>

#include "base/status.h"
#include "jobs/stepped_logits.h"

namespace ingot::jobs {

// Tokens before the timed ones, a prompt, and the timed ones.
inline constexpr std::size_t kPacedPrompt = 16, kPacedTokens = 48;

// A ratio of two sums, and its standard error by what is left of the pairs (Cochran, Sampling
// Techniques, 6.3); 0 of one pair.
struct SpeedRatio {
  double value = 1;
  double stderr_of_value = 0;
};
// REQUIRES: as many of each, one at least.
SpeedRatio RatioOfPairs(std::span<const double> above, std::span<const double> below);

// Seconds that `tokens` take the second way over those of the first. Policies are borrowed and
// count what they see. Errors as of Runner::Step. REQUIRES: more than kPacedPrompt tokens.
Result<SpeedRatio> PairedSpeed(const std::shared_ptr<const loader::Model>& model,
                               std::span<const model::TokenId> tokens, const StepPolicies& first,
                               const StepPolicies& second);

}  // namespace ingot::jobs
