// What there is to win by when drafting stops: prompts are continued, and after each token of the
// text a draft is made and taken back, so that every rule can be reckoned over the same drafts:
// fixed lengths, what --speculate does, a router trained on the first half, and a rule that knows
// what will be right.
//
// Thread rule: functions without state; the machine should be idle beside them.
#pragma once

#include <array>
#include <cstdint>

#include "base/status.h"
#include "jobs/draft_stops.h"
#include "jobs/speculation_bench.h"

namespace ingot::jobs {

struct DraftStopBench {
  std::uint64_t tokens =
      0;                  // of the texts that rules are judged on: the second half of the prompts
  double acceptance = 0;  // of a draft's first token there
  StopTimes times;        // medians
  // Seconds a token.
  double plain = 0;
  std::array<double, kLongestStop + 1> fixed{};  // by length, 1 ... kLongestStop
  double adaptive = 0, router = 0, least = 0;
  // The router: a linear probe of the draft's token's probability and of its normed last state.
  // What it says goes with what is accepted by this; what the probability alone says, by that.
  double router_correlation = 0, probability_correlation = 0;

  std::size_t best_fixed() const;  // the length of the least
};

// Prompts are cut as RunSpeculationBench does. The mode is the first of `speculation.modes`, planes
// or layers; InvalidArgument for another, fewer than two prompts, and as of RunSpeculationBench.
Result<DraftStopBench> RunDraftStopBench(const BenchJobOptions& options,
                                         const SpeculationBenchOptions& speculation,
                                         const Monitor& monitor);

}  // namespace ingot::jobs
