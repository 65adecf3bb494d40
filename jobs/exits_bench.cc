#include "jobs/exits_bench.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "loader/exit_policy.h"
#include "loader/runner.h"

namespace ingot::jobs {
namespace {

using loader::ExitPolicy;
using model::TokenId;
using Clock = std::chrono::steady_clock;

// Sequences that are stepped together, with a policy or without. Each step is taken back, so that
// all steps stand at the same place.
class Batch {
 public:
  Batch(std::shared_ptr<const loader::Model> model, std::uint64_t count, ExitPolicy* policy)
      : runner_(std::move(model)), policy_(policy) {
    for (std::uint64_t i = 0; i < count; ++i) sequences_.push_back(runner_.Open());
  }

  Status Fill(std::uint64_t context) {
    const auto vocab = static_cast<TokenId>(runner_.model().architecture().vocab_size);
    for (const auto& sequence : sequences_) {
      std::vector<TokenId> ids;
      std::vector<model::Row> rows;
      for (std::uint64_t i = 0; i < context; ++i) {
        ids.push_back(static_cast<TokenId>((i * i * 7 + i + sequence->number() + 3) %
                                           static_cast<std::uint64_t>(vocab)));
        rows.push_back({sequence->number(), static_cast<std::int32_t>(i)});
      }
      INGOT_TRY(runner_.Hidden({ids, rows}, {}).status());
    }
    if (policy_ != nullptr) leaving_.emplace(runner_, *policy_);
    return OkStatus();
  }

  // Of the layers, and of the head over all rows.
  struct Seconds {
    double layers = 0, head = 0;
    double all() const { return layers + head; }
  };
  Result<Seconds> Step(std::uint64_t turn) {
    std::vector<TokenId> ids;
    std::vector<model::Row> rows;
    for (const auto& sequence : sequences_) {
      places_.push_back(runner_.Save(*sequence));
      ids.push_back(static_cast<TokenId>((turn * 31 + sequence->number() * 7 + 1) %
                                         runner_.model().architecture().vocab_size));
      rows.push_back({sequence->number(), static_cast<std::int32_t>(sequence->position())});
    }
    std::vector<std::uint32_t> wanted(rows.size());
    std::iota(wanted.begin(), wanted.end(), 0u);
    const auto start = Clock::now();
    INGOT_ASSIGN(const loader::Tensor hidden, runner_.Hidden({ids, rows}, wanted));
    const auto between = Clock::now();
    const loader::Tensor logits = runner_.Logits(hidden, 0, hidden.rows());
    const auto end = Clock::now();
    INGOT_TRY(Status(runner_.status()));
    const Seconds seconds{std::chrono::duration<double>(between - start).count(),
                          std::chrono::duration<double>(end - between).count()};
    for (std::size_t i = 0; i < sequences_.size(); ++i) runner_.Return(*sequences_[i], places_[i]);
    places_.clear();
    return seconds;
  }

 private:
  loader::Runner runner_;
  ExitPolicy* policy_;
  std::vector<std::unique_ptr<loader::Sequence>> sequences_;
  std::vector<loader::Runner::Place> places_;
  std::optional<loader::ExitsOf> leaving_;
};

class ExitsBenchRun {
 public:
  ExitsBenchRun(std::shared_ptr<const loader::Model> model, const ExitsBenchOptions& options,
                const Monitor& monitor)
      : model_(std::move(model)), options_(options), monitor_(monitor) {}

  // Seconds of steps with the policy over those without, turn by turn.
  Result<Spread> Against(std::string_view what, std::uint64_t batch, ExitPolicy& policy) {
    Batch with(model_, batch, &policy), without(model_, batch, nullptr);
    for (Batch* one : {&with, &without}) INGOT_TRY(one->Fill(options_.context));
    std::vector<double> ratios;
    for (std::uint64_t i = 0; i < options_.steps; ++i) {
      INGOT_TRY(monitor_.Tell({what, i, options_.steps, "steps", 0, {}}));
      INGOT_ASSIGN(const Batch::Seconds a, with.Step(i));
      INGOT_ASSIGN(const Batch::Seconds b, without.Step(i));
      if (i >= kWarm) ratios.push_back(a.all() / b.all());
    }
    return SpreadOf(std::move(ratios));
  }

  // Seconds of a step of 1 ... batch rows none of which leaves.
  Result<std::vector<Batch::Seconds>> StepsByRows() {
    std::vector<Batch::Seconds> seconds(1);
    for (std::uint64_t rows = 1; rows <= options_.batch; ++rows) {
      INGOT_TRY(monitor_.Tell({"rows", rows - 1, options_.batch, "sizes", 0, {}}));
      Batch batch(model_, rows, nullptr);
      INGOT_TRY(batch.Fill(options_.context));
      std::vector<double> layers, head;
      for (std::uint64_t i = 0; i < options_.steps / 4 + kWarm; ++i) {
        INGOT_ASSIGN(const Batch::Seconds one, batch.Step(i));
        if (i < kWarm) continue;
        layers.push_back(one.layers);
        head.push_back(one.head);
      }
      seconds.push_back({SpreadOf(std::move(layers)).median, SpreadOf(std::move(head)).median});
    }
    return seconds;
  }

 private:
  static constexpr std::uint64_t kWarm = 2;
  std::shared_ptr<const loader::Model> model_;
  const ExitsBenchOptions& options_;
  const Monitor& monitor_;
};

// Of the layers, between whole numbers of rows.
double SecondsOf(const std::vector<Batch::Seconds>& by_rows, double rows) {
  const auto below = static_cast<std::size_t>(rows);
  if (below + 1 >= by_rows.size()) return by_rows.back().layers;
  const double least = by_rows[below].layers;
  return least + (rows - static_cast<double>(below)) * (by_rows[below + 1].layers - least);
}

}  // namespace

Result<ExitsBenchResult> RunExitsBench(const BenchJobOptions& bench,
                                       const ExitsBenchOptions& options, const Monitor& monitor) {
  INGOT_ASSIGN(const auto model, OpenForBench(bench));
  INGOT_ASSIGN(const loader::RouterLabel label, loader::RouterLabelOf(*model));
  const bool cosine = label == loader::RouterLabel::kCosine;
  if (options.batch == 0 || options.batch > 32 || options.steps < 8)
    return InvalidArgument("a batch of 1 to 32 sequences and eight steps are the least");
  ExitsBenchRun run(model, options, monitor);
  ExitsBenchResult result;
  result.layers = model->architecture().layers.size();
  result.exits = model->architecture().exits.size();
  // Routers run and nobody leaves.
  INGOT_ASSIGN(ExitPolicy none, ExitPolicy::Make(*model, {.threshold = cosine ? 1.0 : 0.0}));
  INGOT_ASSIGN(result.overhead_one, run.Against("nobody leaves, one", 1, none));
  INGOT_ASSIGN(result.overhead_batch, run.Against("nobody leaves, many", options.batch, none));
  std::vector<double> chances(result.layers);
  for (const model::ExitSpec& exit : model->architecture().exits)
    chances[exit.layer] = options.leaving;
  ExitPolicy some = ExitPolicy::ByChance(*model, std::move(chances), 1);
  INGOT_ASSIGN(const Spread took, run.Against("some leave", options.batch, some));
  result.kept_layers = some.stats().kept_layers();
  result.speed = {1 / took.median, 1 / took.high, 1 / took.low};
  INGOT_ASSIGN(const std::vector<Batch::Seconds> by_rows, run.StepsByRows());
  double seconds = by_rows.back().head, there = static_cast<double>(options.batch);
  const auto rows = static_cast<double>(std::max<std::uint64_t>(some.stats().rows, 1));
  for (std::size_t layer = 0; layer < result.layers; ++layer) {
    seconds += SecondsOf(by_rows, there) / static_cast<double>(result.layers);
    there -=
        static_cast<double>(options.batch) * static_cast<double>(some.stats().left[layer]) / rows;
  }
  result.predicted = by_rows.back().all() / seconds;
  result.of_predicted = result.speed.median / result.predicted;
  return result;
}

}  // namespace ingot::jobs
