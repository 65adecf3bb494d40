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

// Seconds that `tokens` take the second way over those of the first. Policies are borrowed and
// count what they see. Errors as of Runner::Step. REQUIRES: more than kPacedPrompt tokens.
Result<double> PairedSpeed(const std::shared_ptr<const loader::Model>& model,
                           std::span<const model::TokenId> tokens, const StepPolicies& first,
                           const StepPolicies& second);

}  // namespace ingot::jobs
