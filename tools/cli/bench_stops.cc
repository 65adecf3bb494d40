#include "tools/cli/bench_stops.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "inspect/summary.h"
#include "jobs/draft_stop_bench.h"
#include "tools/cli/common.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

using jobs::DraftStopBench;

inspect::Json StopsJson(const DraftStopBench& bench) {
  inspect::Json fixed = inspect::Json::array(), steps = inspect::Json::array();
  for (std::size_t length = 1; length <= jobs::kLongestStop; ++length)
    fixed.push_back(bench.fixed[length]);
  for (std::size_t rows = 1; rows < bench.times.step.size(); ++rows)
    steps.push_back(bench.times.step[rows]);
  return {{"tokens", bench.tokens},
          {"acceptance", bench.acceptance},
          {"draft_seconds", bench.times.draft},
          {"step_seconds_by_rows", std::move(steps)},
          {"plain_seconds", bench.plain},
          {"fixed_seconds_by_length", std::move(fixed)},
          {"adaptive_seconds", bench.adaptive},
          {"router_seconds", bench.router},
          {"least_seconds", bench.least},
          {"router_correlation", bench.router_correlation},
          {"probability_correlation", bench.probability_correlation}};
}

void PrintStops(const DraftStopBench& bench) {
  const double best = bench.fixed[bench.best_fixed()];
  std::vector<std::vector<std::string>> rows = {
      {"", "ms a token", "speed of plain", "time saved over the best length"}};
  const auto add = [&](const std::string& name, double seconds) {
    rows.push_back({name, fmt::format("{:.2f}", 1e3 * seconds),
                    fmt::format("{:.3f}", bench.plain / seconds),
                    fmt::format("{:+.1f} %", 100 * (1 - seconds / best))});
  };
  add("plain", bench.plain);
  for (std::size_t length = 1; length <= jobs::kLongestStop; ++length)
    add(fmt::format("drafts of {}", length), bench.fixed[length]);
  add("as --speculate decides", bench.adaptive);
  add("a router of the draft's state", bench.router);
  add("knowing what will be right", bench.least);
  PrintPage(
      "{} tokens; a draft's first token is accepted by {:.3f}; drafted in {:.2f} ms, steps "
      "of 1 to {} rows {:.2f} to {:.2f} ms\n",
      bench.tokens, bench.acceptance, 1e3 * bench.times.draft, bench.times.step.size() - 1,
      1e3 * bench.times.step[1], 1e3 * bench.times.step.back());
  PrintRows(rows);
  PrintPage(
      "  what is accepted goes with the router by {:.2f}, with the draft's probability by "
      "{:.2f}\n",
      bench.router_correlation, bench.probability_correlation);
}

}  // namespace

Status BenchStops(const jobs::BenchJobOptions& job,
                  const jobs::SpeculationBenchOptions& speculation, bool json, JobLine& line) {
  INGOT_ASSIGN(const DraftStopBench bench,
               jobs::RunDraftStopBench(job, speculation, line.monitor()));
  line.Clear();
  if (json)
    fmt::print("{}\n", untrusted::PrintableJson(StopsJson(bench)));
  else
    PrintStops(bench);
  return OkStatus();
}

}  // namespace ingot::cli
