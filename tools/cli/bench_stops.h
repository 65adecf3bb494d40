// `ingot bench --speculate planes --stop-rules`: what there is to win by when drafting stops.
#pragma once

#include "base/status.h"
#include "jobs/bench_job.h"
#include "jobs/speculation_bench.h"
#include "tools/cli/job_line.h"

namespace ingot::cli {

// Measures and prints.
Status BenchStops(const jobs::BenchJobOptions& job,
                  const jobs::SpeculationBenchOptions& speculation, bool json, JobLine& line);

}  // namespace ingot::cli
