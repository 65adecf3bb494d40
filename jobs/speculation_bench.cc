#include "jobs/speculation_bench.h"

#include <chrono>
#include <utility>

#include "jobs/eval_text.h"
#include "loader/runner.h"
#include "loader/speculate/speculative_decoder.h"

namespace ingot::jobs {
namespace {

using loader::SpeculationStats;
using model::TokenId;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void Add(const loader::DraftCounts& from, loader::DraftCounts& to) {
  to.drafts += from.drafts;
  to.tokens += from.tokens;
  to.judged += from.judged;
  to.accepted += from.accepted;
}

void Add(const SpeculationStats& from, SpeculationStats& to) {
  to.tokens += from.tokens;
  to.steps += from.steps;
  Add(from.lookup, to.lookup);
  Add(from.model, to.model);
  to.repeated += from.repeated;
}

struct Continuation {
  std::vector<TokenId> ids;
  SpeculationStats stats;
  double seconds = 0;
};

class SpeculationRuns {
 public:
  SpeculationRuns(std::shared_ptr<const loader::Model> model, const loader::PageFormat* pages,
                  const SpeculationBenchOptions& options)
      : runner_(std::move(model), {.pages = pages}), options_(options) {}

  const Status& status() const { return runner_.status(); }
  std::uint64_t context() const { return runner_.context(); }

  Result<Continuation> Continue(std::span<const TokenId> prompt,
                                const loader::SpeculationOptions& how, std::uint64_t seed) {
    const auto sequence = runner_.Open();
    loader::SamplerOptions sampler = options_.sampler;
    sampler.seed += seed;
    INGOT_ASSIGN(sequence->sampler, loader::Sampler::Make(sampler));
    std::vector<model::Row> rows;
    for (std::size_t i = 0; i < prompt.size(); ++i)
      rows.push_back({sequence->number(), static_cast<std::int32_t>(i)});
    const auto last = static_cast<std::uint32_t>(prompt.size() - 1);
    auto start = Clock::now();
    INGOT_ASSIGN(const loader::Tensor logits, runner_.Step({prompt, rows}, {&last, 1}));
    INGOT_ASSIGN(auto decoder, loader::SpeculativeDecoder::Make(runner_, *sequence, how, prompt,
                                                                SecondsSince(start)));
    Continuation result;
    INGOT_ASSIGN(const TokenId first, decoder.First({logits.data(), logits.size()}));
    result.ids.push_back(first);
    start = Clock::now();
    while (result.ids.size() < options_.tokens)
      INGOT_TRY(decoder.Next(options_.tokens - result.ids.size(), [&](TokenId id) {
        result.ids.push_back(id);
        return true;
      }));
    result.seconds = SecondsSince(start);
    result.stats = decoder.stats();
    return result;
  }

 private:
  loader::Runner runner_;
  const SpeculationBenchOptions& options_;
};

Status CheckNumbers(const SpeculationBenchOptions& options) {
  if (options.texts.empty())
    return InvalidArgument("speculation is measured on a text: --text FILE");
  if (options.prompts == 0 || options.prompt_tokens == 0 || options.tokens < 2)
    return InvalidArgument("a prompt of a token and two tokens after it are the least");
  return OkStatus();
}

}  // namespace

Result<SpeculationBenchResult> RunSpeculationBench(const BenchJobOptions& options,
                                                   const SpeculationBenchOptions& speculation,
                                                   const Monitor& monitor) {
  INGOT_TRY(CheckNumbers(speculation));
  INGOT_ASSIGN(const loader::PageFormat* pages, PagesOf(options));
  INGOT_ASSIGN(const auto model, OpenForBench(options));
  INGOT_ASSIGN(const EvalText text, ReadTexts(*model, *model, speculation.texts));
  SpeculationRuns runs(model, pages, speculation);
  INGOT_TRY(Status(runs.status()));
  const std::uint64_t needed = speculation.prompt_tokens + speculation.tokens;
  if (needed > runs.context())
    return LimitExceeded(std::to_string(needed) + " tokens are wanted, the model has places for " +
                         std::to_string(runs.context()));
  const std::uint64_t stride = text.tokens.size() / speculation.prompts;
  if (stride < speculation.prompt_tokens)
    return InvalidArgument("the texts have " + std::to_string(text.tokens.size()) + " tokens, " +
                           std::to_string(speculation.prompts) + " prompts of " +
                           std::to_string(speculation.prompt_tokens) + " take more");
  SpeculationBenchResult result;
  std::vector<std::vector<double>> speeds(speculation.modes.size());
  for (const auto mode : speculation.modes) result.modes.emplace_back().mode = mode;
  for (std::uint64_t i = 0; i < speculation.prompts; ++i) {
    INGOT_TRY(monitor.Tell({"measuring", i, speculation.prompts, "prompts", 0, {}}));
    const auto prompt = std::span(text.tokens).subspan(i * stride, speculation.prompt_tokens);
    INGOT_ASSIGN(const Continuation plain,
                 runs.Continue(prompt, {loader::SpeculationOptions::Mode::kOff, 0}, i));
    Add(plain.stats, result.plain.stats);
    result.plain.seconds += plain.seconds;
    for (std::size_t m = 0; m < result.modes.size(); ++m) {
      SpeculationBench& bench = result.modes[m];
      INGOT_ASSIGN(const Continuation one,
                   runs.Continue(prompt, {bench.mode, speculation.draft}, i));
      Add(one.stats, bench.stats);
      bench.seconds += one.seconds;
      bench.different += one.ids != plain.ids ? 1 : 0;
      speeds[m].push_back(plain.seconds / one.seconds);
    }
  }
  for (std::size_t m = 0; m < result.modes.size(); ++m)
    result.modes[m].speed = SpreadOf(std::move(speeds[m]));
  return result;
}

}  // namespace ingot::jobs
