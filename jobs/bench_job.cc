#include "jobs/bench_job.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <numeric>
#include <utility>

#include "base/random.h"
#include "jobs/cold_file.h"
#include "loader/cpu/recurrent_state.h"
#include "loader/energy_meter.h"
#include "loader/runner.h"

namespace ingot::jobs {
namespace {

using loader::Runner;
using loader::Sequence;
using model::TokenId;

// Tokens of a prompt that run together, as a session does it.
constexpr std::uint64_t kPromptBlock = 512;
constexpr std::uint64_t kMostRuns = 10'000;
// Of what is free, that caches may take.
constexpr double kUsableMemory = 0.9;

double Timed(const std::function<Status()>& body, Status& status) {
  const auto begin = std::chrono::steady_clock::now();
  status = body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Result<std::shared_ptr<const loader::Model>> OpenAsAsked(const BenchJobOptions& options) {
  loader::ModelOptions open;
  open.key = options.key;
  open.selection.levels = options.levels;
  open.max_decoded_bytes = options.max_decoded_bytes;
  open.compute = options.exact ? loader::Compute::kExact : loader::Compute::kFast;
  open.verify = options.verify;
  open.allow_truncated = true;
  INGOT_ASSIGN(auto model, loader::Model::Open(options.file, open));
  if (model->architecture().masked)
    return InvalidArgument(options.file + ": an encoder generates nothing; bench takes decoders");
  return model;
}

class Bench {
 public:
  Bench(const BenchJobOptions& options, const Monitor& monitor)
      : options_(options), monitor_(monitor) {}

  Result<BenchJobResult> Run();

 private:
  Status CheckNumbers() const;
  Status Load();
  Status CheckMemory();
  std::vector<SpeedBench> Plan() const;
  // One run of it; seconds of one step.
  Result<double> RunOnce(SpeedBench& bench);
  Result<double> Prefill(std::uint64_t tokens);
  Result<double> Decode(const SpeedBench& bench);
  // Sequences with `context` positions each, none of whose pages another one has.
  Status Prepare(std::uint64_t count, std::uint64_t context);
  Status Append(Runner& runner, Sequence& sequence, std::uint64_t tokens);
  Status Step(std::uint64_t sequences, std::uint64_t rows, std::uint32_t planes);
  void Finish(SpeedBench& bench, std::vector<double> seconds);
  std::vector<TokenId> Tokens(std::uint64_t count);

  const BenchJobOptions& options_;
  const Monitor& monitor_;
  BenchJobResult result_;
  std::shared_ptr<const loader::Model> model_;
  std::unique_ptr<Runner> runner_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  std::uint64_t context_ = 0;  // of each of them
  bool recurrent_ = false;
  std::unique_ptr<loader::EnergyMeter> energy_;
  Random random_{1};
  std::uint64_t done_ = 0, total_ = 0;
};

Status CheckList(const char* name, const std::vector<std::uint64_t>& list, std::uint64_t least,
                 std::uint64_t most) {
  for (const std::uint64_t value : list)
    if (value < least || value > most)
      return InvalidArgument(std::string(name) + " " + std::to_string(value) + ": from " +
                             std::to_string(least) + " to " + std::to_string(most));
  return OkStatus();
}

Status Bench::CheckNumbers() const {
  INGOT_TRY(CheckList("--batch", options_.batches, 1, 4096));
  INGOT_TRY(CheckList("--context", options_.contexts, 1, 1 << 24));
  INGOT_TRY(CheckList("--prompt", options_.prompts, 1, 1 << 24));
  INGOT_TRY(CheckList("--rows", options_.rows, 1, 4096));
  INGOT_TRY(CheckList("--runs", {options_.runs}, 1, kMostRuns));
  return CheckList("--steps", {options_.steps}, 1, kMostRuns);
}

Status Bench::Load() {
  Status status;
  const auto open = [&]() -> Status {
    model_ = nullptr;
    INGOT_ASSIGN(model_, OpenAsAsked(options_));
    return OkStatus();
  };
  const auto first_step = [&]() -> Status {
    INGOT_TRY(open());
    Runner runner(model_);
    const auto sequence = runner.Open();
    return Append(runner, *sequence, 1);
  };
  LoadBench load;
  Timed(open, status);
  INGOT_TRY(std::move(status));
  if (!options_.loads) return model_->weights().ReadAll().At(options_.file);
  std::vector<double> warm, cold, first;
  for (std::uint64_t i = 0; i < options_.runs; ++i) {
    INGOT_TRY(monitor_.Tell({"loading", i, options_.runs, "runs", 0, {}}));
    warm.push_back(Timed(open, status));
    INGOT_TRY(std::move(status));
    first.push_back(Timed(first_step, status));
    INGOT_TRY(std::move(status));
    model_ = nullptr;
    if (!DropFromCache(options_.file)) continue;
    cold.push_back(Timed(open, status));
    INGOT_TRY(std::move(status));
  }
  if (model_ == nullptr) INGOT_TRY(open());
  INGOT_TRY(model_->weights().ReadAll().At(options_.file));
  load.warm = SpreadOf(std::move(warm));
  load.first_step = SpreadOf(std::move(first));
  if (cold.size() == options_.runs) load.cold = SpreadOf(std::move(cold));
  load.file_bytes = FileBytes(options_.file);
  result_.load = load;
  return OkStatus();
}

// Refused before work, not killed in the middle of it.
Status Bench::CheckMemory() {
  const auto free = loader::AvailableMemory();
  if (!free) return OkStatus();
  const auto usable = static_cast<std::uint64_t>(kUsableMemory * static_cast<double>(*free));
  const std::uint64_t page = runner_->pool().page_bytes();
  for (const SpeedBench& bench : Plan()) {
    const std::uint64_t each =
        CeilDiv(bench.context + options_.steps + bench.batch, loader::kPageTokens) * page;
    const std::uint64_t count = bench.kind == SpeedBench::Kind::kDecode ? bench.batch : 1;
    if (each == 0 || count <= usable / each) continue;
    return LimitExceeded("batch " + std::to_string(count) + " at context " +
                         std::to_string(bench.context) + " takes " +
                         std::to_string(count * each >> 20) + " MiB of cache, and " +
                         std::to_string(usable >> 20) + " MiB can be had; batch " +
                         std::to_string(usable / each) + " would fit");
  }
  return OkStatus();
}

std::vector<TokenId> Bench::Tokens(std::uint64_t count) {
  std::vector<TokenId> ids(count);
  for (TokenId& id : ids)
    id = static_cast<TokenId>(random_.Next() % model_->architecture().vocab_size);
  return ids;
}

std::vector<SpeedBench> Bench::Plan() const {
  using Kind = SpeedBench::Kind;
  std::vector<SpeedBench> plan;
  if (options_.compare_modes) {
    const std::size_t most = loader::PlaneCount(model_->weights());
    for (const std::uint64_t context : options_.contexts)
      for (std::uint64_t planes = 1; planes <= most; ++planes)
        plan.push_back({Kind::kDecode, 1, context, planes});
    return plan;
  }
  for (const std::uint64_t tokens : options_.prompts) plan.push_back({Kind::kPrefill, 1, tokens});
  for (const std::uint64_t context : options_.contexts) {
    for (const std::uint64_t rows : options_.rows) plan.push_back({Kind::kRows, rows, context});
    for (const std::uint64_t batch : options_.batches)
      plan.push_back({Kind::kDecode, batch, context});
  }
  return plan;
}

Status Bench::Append(Runner& runner, Sequence& sequence, std::uint64_t tokens) {
  const std::vector<TokenId> ids = Tokens(tokens);
  INGOT_TRY(runner.Admit(sequence, ids));
  for (std::uint64_t begin = 0; begin < tokens; begin += kPromptBlock) {
    const std::uint64_t count = std::min(kPromptBlock, tokens - begin);
    std::vector<model::Row> rows(count);
    for (std::uint64_t i = 0; i < count; ++i)
      rows[i] = {sequence.number(), static_cast<std::int32_t>(sequence.position() + i)};
    const bool last = begin + count == tokens;
    const auto wanted = static_cast<std::uint32_t>(count - 1);
    INGOT_ASSIGN(const loader::Tensor hidden,
                 runner.Hidden({std::span(ids).subspan(begin, count), rows},
                               {&wanted, last ? std::size_t{1} : 0}));
    if (last) runner.Logits(hidden, 0, 1);
  }
  return Status(runner.status());
}

Result<double> Bench::Prefill(std::uint64_t tokens) {
  const auto sequence = runner_->Open();
  Status status;
  const double seconds = Timed([&] { return Append(*runner_, *sequence, tokens); }, status);
  INGOT_TRY(std::move(status));
  return seconds;
}

Status Bench::Prepare(std::uint64_t count, std::uint64_t context) {
  if (context != context_) sequences_.clear();
  context_ = context;
  if (sequences_.size() > count) sequences_.resize(count);
  if (sequences_.empty()) {
    sequences_.push_back(runner_->Open());
    INGOT_TRY(Append(*runner_, *sequences_[0], context));
  }
  while (sequences_.size() < count) {
    INGOT_ASSIGN(auto copy, runner_->Copy(*sequences_[0]));
    sequences_.push_back(std::move(copy));
  }
  return OkStatus();
}

Status Bench::Step(std::uint64_t sequences, std::uint64_t rows, std::uint32_t planes) {
  const std::vector<TokenId> ids = Tokens(sequences * rows);
  std::vector<model::Row> batch;
  for (std::uint64_t s = 0; s < sequences; ++s)
    for (std::uint64_t r = 0; r < rows; ++r)
      batch.push_back({sequences_[s]->number(),
                       static_cast<std::int32_t>(sequences_[s]->position() + r), planes});
  std::vector<std::uint32_t> wanted(batch.size());
  std::iota(wanted.begin(), wanted.end(), 0u);
  INGOT_ASSIGN(const loader::Tensor logits, runner_->Step({ids, batch}, wanted));
  return OkStatus();
}

Result<double> Bench::Decode(const SpeedBench& bench) {
  const bool one = bench.kind == SpeedBench::Kind::kRows;
  const std::uint64_t sequences = one ? 1 : bench.batch, rows = one ? bench.batch : 1;
  INGOT_TRY(Prepare(sequences, bench.context));
  const auto planes =
      bench.planes == 0 ? model::kAllPlanes : static_cast<std::uint32_t>(bench.planes);
  std::vector<double> seconds;
  for (std::uint64_t step = 0; step < options_.steps; ++step) {
    Status status;
    seconds.push_back(Timed([&] { return Step(sequences, rows, planes); }, status));
    INGOT_TRY(std::move(status));
    if (recurrent_) continue;  // a state cannot go back, and its cost does not grow
    for (std::uint64_t s = 0; s < sequences; ++s) runner_->Truncate(*sequences_[s], bench.context);
  }
  return SpreadOf(std::move(seconds)).median;
}

Result<double> Bench::RunOnce(SpeedBench& bench) {
  return bench.kind == SpeedBench::Kind::kPrefill ? Prefill(bench.context) : Decode(bench);
}

void Bench::Finish(SpeedBench& bench, std::vector<double> seconds) {
  bench.seconds = SpreadOf(std::move(seconds));
  const loader::StepCost cost =
      bench.planes == 0 ? result_.cost : loader::CostOfStep(*model_, bench.planes);
  const bool prefill = bench.kind == SpeedBench::Kind::kPrefill;
  const double read = loader::CacheBytesRead(model_->architecture(), result_.cache_bytes_a_token,
                                             prefill ? 0 : bench.context);
  const double sequences =
      bench.kind == SpeedBench::Kind::kDecode ? static_cast<double>(bench.batch) : 1;
  bench.floor = loader::FloorOfStep(cost, result_.limits, static_cast<double>(bench.tokens()),
                                    sequences * read);
}

Result<BenchJobResult> Bench::Run() {
  INGOT_TRY(CheckNumbers());
  INGOT_ASSIGN(const loader::PageFormat* pages, PagesOf(options_));
  INGOT_TRY(monitor_.Check());
  INGOT_TRY(Load());
  recurrent_ = loader::HasRecurrentLayers(model_->architecture());
  loader::RunnerOptions runner_options;
  runner_options.pages = pages;
  runner_ = std::make_unique<Runner>(model_, runner_options);
  INGOT_TRY(runner_->status());
  INGOT_TRY(CheckMemory());
  std::vector<SpeedBench> plan = Plan();
  total_ = options_.runs * plan.size();
  INGOT_TRY(monitor_.Check());
  result_.limits = loader::MeasureLimits();
  result_.cost = loader::CostOfStep(*model_);
  result_.cache = runner_->pool().format().name;
  result_.cache_bytes_a_token =
      static_cast<double>(runner_->pool().page_bytes()) / static_cast<double>(loader::kPageTokens);
  energy_ = loader::MakePackageMeter();
  if (energy_ != nullptr) result_.energy = energy_->what();
  // Modes are compared run by run, so that what else the machine does meets all of them.
  const std::size_t together = options_.compare_modes ? plan.size() : 1;
  for (std::size_t first = 0; first < plan.size(); first += together) {
    std::vector<std::vector<double>> seconds(together);
    std::vector<double> joules(together);
    for (std::uint64_t run = 0; run <= options_.runs; ++run)
      for (std::size_t i = 0; i < together; ++i) {
        SpeedBench& bench = plan[first + i];
        if (run > 0) INGOT_TRY(monitor_.Tell({"measuring", done_++, total_, "runs", 0, {}}));
        const auto before = energy_ != nullptr ? energy_->Joules() : std::nullopt;
        INGOT_ASSIGN(const double one, RunOnce(bench));
        if (run == 0) continue;  // caches and pools fill
        seconds[i].push_back(one);
        const auto after = energy_ != nullptr ? energy_->Joules() : std::nullopt;
        if (before && after) joules[i] += *after - *before;
      }
    for (std::size_t i = 0; i < together; ++i) {
      SpeedBench& bench = plan[first + i];
      Finish(bench, std::move(seconds[i]));
      const std::uint64_t steps = bench.kind == SpeedBench::Kind::kPrefill ? 1 : options_.steps;
      if (energy_ != nullptr && energy_->Joules().has_value())
        bench.joules_a_token =
            joules[i] / static_cast<double>(options_.runs * steps * bench.tokens());
    }
  }
  result_.speeds = std::move(plan);
  result_.memory = loader::MeasureMemory(*model_, *runner_);
  return std::move(result_);
}

}  // namespace

Spread SpreadOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const std::size_t n = values.size();
  const double median = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  return {median, values[n / 4], values[n - 1 - n / 4]};
}

Result<std::shared_ptr<const loader::Model>> OpenForBench(const BenchJobOptions& options) {
  INGOT_ASSIGN(auto model, OpenAsAsked(options));
  INGOT_TRY(model->weights().ReadAll().At(options.file));
  return model;
}

Result<const loader::PageFormat*> PagesOf(const BenchJobOptions& options) {
  if (options.cache.empty()) return nullptr;
  const loader::PageFormat* pages = loader::FindPageFormat(options.cache);
  if (pages == nullptr)
    return InvalidArgument("--kv " + options.cache + ": no such format of keys and values");
  return pages;
}

Result<BenchJobResult> RunBenchJob(const BenchJobOptions& options, const Monitor& monitor) {
  return Bench(options, monitor).Run();
}

}  // namespace ingot::jobs
