// How fast a model loads, reads a prompt and generates here, each beside the limit that the same
// run measured of the machine: memory's read rate and the processor's product rates, by the same
// threads.
//
// Thread rule: functions without state; the machine should be idle beside them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"
#include "jobs/job.h"
#include "loader/cpu/page_format.h"
#include "loader/loaded_model.h"
#include "loader/machine_limits.h"
#include "loader/memory_use.h"
#include "loader/step_cost.h"

namespace ingot::jobs {

struct BenchJobOptions {
  std::string file;  // as Model::Open takes it
  const artifact::VerifyingKey* key = nullptr;
  int levels = -1;
  std::uint64_t max_decoded_bytes = 0;
  loader::Verify verify = loader::Verify::kEager;
  bool exact = false;
  std::string cache;  // a name of PageFormats(); empty: the loader's choice
  // Sequences that generate together, and positions that each has behind it.
  std::vector<std::uint64_t> batches = {1, 2, 4, 8};
  std::vector<std::uint64_t> contexts = {128};
  std::vector<std::uint64_t> prompts = {512};  // tokens; empty: no prefill
  // Rows of one sequence in one step, as verifying drafts takes them; empty: none.
  std::vector<std::uint64_t> rows;
  std::uint64_t runs = 5;   // of each; medians are given
  std::uint64_t steps = 8;  // of a run of decoding
  // One token with the first plane alone, with the first two, ... side by side, in place of
  // batches.
  bool compare_modes = false;
  bool loads = true;  // measure loading, too
};

// Seconds: the middle one of the runs, and what a quarter of them undercut and exceeded.
struct Spread {
  double median = 0, low = 0, high = 0;
};
Spread SpreadOf(std::vector<double> values);

struct LoadBench {
  Spread warm;                 // the file in the page cache
  std::optional<Spread> cold;  // nullopt: the system keeps the file's pages
  Spread first_step;           // warm, with a first token through the model
  std::uint64_t file_bytes = 0;
};

struct SpeedBench {
  enum class Kind { kPrefill, kDecode, kRows } kind = Kind::kDecode;
  std::uint64_t batch = 1;    // sequences; of kRows, rows of one
  std::uint64_t context = 0;  // of kPrefill: tokens of the prompt
  std::uint64_t planes = 0;   // of each matrix; 0: all
  Spread seconds;             // of a step, or of the prompt
  loader::StepFloor floor;
  std::optional<double> joules_a_token;
  std::uint64_t tokens() const { return kind == Kind::kPrefill ? context : batch; }
  double tokens_a_second() const { return static_cast<double>(tokens()) / seconds.median; }
};

struct BenchJobResult {
  loader::MachineLimits limits;
  loader::StepCost cost;
  std::optional<LoadBench> load;
  std::vector<SpeedBench> speeds;
  std::string cache;  // the format of pages
  double cache_bytes_a_token = 0;
  loader::MemoryUse memory;
  std::string energy;  // whose joules; empty: not measured
};

// The model as the options say, all of its weights read; NotFound, Corruption, ... as Model::Open.
// InvalidArgument for an encoder, which generates nothing.
Result<std::shared_ptr<const loader::Model>> OpenForBench(const BenchJobOptions& options);
// The pages that they name, or null: the loader's choice. InvalidArgument for an unknown name.
Result<const loader::PageFormat*> PagesOf(const BenchJobOptions& options);

// InvalidArgument for numbers that no bench can have; Limit before any work where the caches would
// not fit into memory, with what would.
Result<BenchJobResult> RunBenchJob(const BenchJobOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
