// What exits cost where nobody leaves, and how much of what left-out layers promise comes out of a
// batch whose rows leave on their own.
//
// Thread rule: functions without state; the machine should be idle beside them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "jobs/bench_job.h"
#include "jobs/job.h"

namespace ingot::jobs {

struct ExitsBenchOptions {
  std::uint64_t batch = 8;
  std::uint64_t steps = 48;    // of each, pair by pair
  std::uint64_t context = 64;  // positions before them
  double leaving = 0.5;        // of the rows that come to an exit, by chance
};

struct ExitsBenchResult {
  std::size_t layers = 0, exits = 0;
  // Steps with routers by which nobody leaves, over steps without: one sequence, and `batch` ones.
  Spread overhead_one, overhead_batch;
  // Of `batch` sequences whose rows leave by chance.
  double kept_layers = 0;
  Spread speed;          // against none leaving
  double predicted = 0;  // the same by the kept layers: a layer takes what the layers of a step of
                         // the rows that are still there take in the mean, and the head sees all
  double of_predicted = 0;  // speed.median / predicted
};

// The file and how it is opened are `bench`'s. InvalidArgument for a file without exits.
Result<ExitsBenchResult> RunExitsBench(const BenchJobOptions& bench,
                                       const ExitsBenchOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
