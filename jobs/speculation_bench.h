// What speculation gives on a text: prompts cut from it are continued plainly and in other modes,
// side by side, and every continuation is held against the plain one token for token.
//
// Thread rule: functions without state; the machine should be idle beside them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/bench_job.h"
#include "loader/precision/precision_policy.h"
#include "loader/sampler.h"
#include "loader/speculate/speculation.h"

namespace ingot::jobs {

struct SpeculationBenchOptions {
  std::vector<std::string> texts;  // files; `-` reads standard input
  std::vector<loader::SpeculationOptions::Mode> modes;
  std::size_t draft = 0;            // as SpeculationOptions::draft
  std::uint64_t prompts = 8;        // evenly over the texts
  std::uint64_t prompt_tokens = 64;
  std::uint64_t tokens = 128;       // after each prompt; the end of a text is passed over
  loader::SamplerOptions sampler;
  loader::PrecisionOptions precision;  // of the whole model's steps, drafted or not
  // Instead of cutting the texts: a JSON object a line, whose "prompt" is continued.
  std::string prompt_set;
};

struct SpeculationBench {
  loader::SpeculationOptions::Mode mode = loader::SpeculationOptions::Mode::kOff;
  loader::SpeculationStats stats;  // of all prompts
  double seconds = 0;              // of decoding, the prompts' apart
  Spread speed;                    // plain seconds over this mode's, by prompt
  std::uint64_t different = 0;     // continuations that are not the plain one: none, ever
};

struct SpeculationBenchResult {
  SpeculationBench plain;
  std::vector<SpeculationBench> modes;
};

// The prompts that are continued: cut evenly from the texts, or a set's first ones. InvalidArgument
// for neither or both, numbers too small, texts of fewer tokens than the prompts take.
Result<std::vector<std::vector<model::TokenId>>> PromptsOf(const loader::Model& model,
                                                           const SpeculationBenchOptions& options);

// The file and how it is opened are `options`'. InvalidArgument for no texts, texts of fewer tokens
// than the prompts take, and as of RunBenchJob.
Result<SpeculationBenchResult> RunSpeculationBench(const BenchJobOptions& options,
                                                   const SpeculationBenchOptions& speculation,
                                                   const Monitor& monitor);

}  // namespace ingot::jobs
