// `ingot eval --precision`, `--exit` and `--speculate`: what running less than all of an artifact
// costs and saves, beside what it costs to have packed it.
#pragma once

#include "base/status.h"
#include "jobs/speculation_bench.h"
#include "jobs/variants_job.h"
#include "tools/cli/job_line.h"
#include "tools/cli/policy_options.h"

namespace ingot::cli {

struct VariantsChoice {
  ExitChoice exits;
  PrecisionChoice precision;
  std::vector<loader::SpeculationOptions::Mode> speculation;
  bool given() const { return exits.given() || precision.mode.has_value() || !speculation.empty(); }
};
void AddVariantsOptions(CLI::App* command, VariantsChoice& choice);

// Measures and prints. `job` says the rest. REQUIRES: choice.given().
Status EvalVariants(const VariantsChoice& choice, jobs::VariantsJobOptions job, bool json,
                    JobLine& line);

}  // namespace ingot::cli
