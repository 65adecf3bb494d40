#include "jobs/speculation_bench.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "jobs/eval_text.h"
#include "loader/clock.h"
#include "loader/runner.h"
#include "loader/speculate/speculative_decoder.h"
#include "model/text/json_text.h"
#include "untrusted/text_input.h"

namespace ingot::jobs {
namespace {

using loader::SpeculationStats;
using model::TokenId;

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
  to.by_layers = to.by_layers || from.by_layers;
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
    INGOT_ASSIGN(loader::PrecisionPolicy precision,
                 loader::PrecisionPolicy::Make(runner_.model(), options_.precision));
    std::vector<model::Row> rows;
    for (std::size_t i = 0; i < prompt.size(); ++i)
      rows.push_back({sequence->number(), static_cast<std::int32_t>(i), precision.prompt_planes()});
    const auto last = static_cast<std::uint32_t>(prompt.size() - 1);
    auto start = loader::Clock::now();
    INGOT_ASSIGN(const loader::Tensor logits, runner_.Step({prompt, rows}, {&last, 1}));
    INGOT_ASSIGN(auto decoder,
                 loader::SpeculativeDecoder::Make(runner_, *sequence, how, prompt,
                                                  loader::SecondsSince(start), &precision));
    std::optional<loader::PrecisionOf> choosing;
    if (precision.watches_layers()) choosing.emplace(runner_, precision);
    Continuation result;
    INGOT_ASSIGN(const TokenId first, decoder.First({logits.data(), logits.size()}));
    result.ids.push_back(first);
    start = loader::Clock::now();
    while (result.ids.size() < options_.tokens)
      INGOT_TRY(decoder.Next(options_.tokens - result.ids.size(), [&](TokenId id) {
        result.ids.push_back(id);
        return true;
      }));
    result.seconds = loader::SecondsSince(start);
    result.stats = decoder.stats();
    return result;
  }

 private:
  loader::Runner runner_;
  const SpeculationBenchOptions& options_;
};

Status CheckNumbers(const SpeculationBenchOptions& options) {
  if (options.texts.empty() == options.prompt_set.empty())
    return InvalidArgument(
        "speculation is measured on a text, or on prompts: --text FILE or --prompt-set FILE");
  if (options.prompts == 0 || options.prompt_tokens == 0 || options.tokens < 2)
    return InvalidArgument("a prompt of a token and two tokens after it are the least");
  return OkStatus();
}

// Evenly from the texts.
Result<std::vector<std::vector<TokenId>>> CutPrompts(const loader::Model& model,
                                                     const SpeculationBenchOptions& options) {
  INGOT_ASSIGN(const EvalText text, ReadTexts(model, model, options.texts));
  const std::uint64_t stride = text.tokens.size() / options.prompts;
  if (stride < options.prompt_tokens)
    return InvalidArgument("the texts have " + std::to_string(text.tokens.size()) + " tokens, " +
                           std::to_string(options.prompts) + " prompts of " +
                           std::to_string(options.prompt_tokens) + " take more");
  std::vector<std::vector<TokenId>> prompts;
  for (std::uint64_t i = 0; i < options.prompts; ++i) {
    const auto part = std::span(text.tokens).subspan(i * stride, options.prompt_tokens);
    prompts.emplace_back(part.begin(), part.end());
  }
  return prompts;
}

// A file's first ones.
Result<std::vector<std::vector<TokenId>>> ReadPrompts(const loader::Model& model,
                                                      const SpeculationBenchOptions& options) {
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, model.tokenizer());
  INGOT_ASSIGN(const std::string content, untrusted::ReadText(options.prompt_set));
  std::vector<std::vector<TokenId>> prompts;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < content.size() && prompts.size() < options.prompts;) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    const std::string line = content.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.empty()) continue;
    const auto refuse = [&] {
      return InvalidArgument(options.prompt_set + " line " + std::to_string(number) +
                             ": no JSON object with a \"prompt\" that is a text");
    };
    auto parsed = model::ParseJson(line);
    if (!parsed.ok() || !parsed->is_object()) return refuse();
    const auto prompt = parsed->find("prompt");
    if (prompt == parsed->end() || !prompt->is_string()) return refuse();
    INGOT_ASSIGN(std::vector<TokenId> ids, tokenizer->Encode(prompt->get<std::string>(), true));
    if (ids.empty()) return refuse();
    prompts.push_back(std::move(ids));
  }
  if (prompts.empty()) return InvalidArgument(options.prompt_set + ": has no prompts");
  return prompts;
}

}  // namespace

Result<std::vector<std::vector<TokenId>>> PromptsOf(const loader::Model& model,
                                                    const SpeculationBenchOptions& options) {
  INGOT_TRY(CheckNumbers(options));
  return options.prompt_set.empty() ? CutPrompts(model, options) : ReadPrompts(model, options);
}

Result<SpeculationBenchResult> RunSpeculationBench(const BenchJobOptions& options,
                                                   const SpeculationBenchOptions& speculation,
                                                   const Monitor& monitor) {
  INGOT_TRY(CheckNumbers(speculation));
  INGOT_ASSIGN(const loader::PageFormat* pages, PagesOf(options));
  INGOT_ASSIGN(const auto model, OpenForBench(options));
  SpeculationRuns runs(model, pages, speculation);
  INGOT_TRY(Status(runs.status()));
  INGOT_ASSIGN(const std::vector<std::vector<TokenId>> prompts, PromptsOf(*model, speculation));
  for (const auto& prompt : prompts)
    if (const std::uint64_t needed = prompt.size() + speculation.tokens; needed > runs.context())
      return LimitExceeded(std::to_string(needed) +
                           " tokens are wanted, the model has places for " +
                           std::to_string(runs.context()));
  SpeculationBenchResult result;
  std::vector<std::vector<double>> speeds(speculation.modes.size());
  for (const auto mode : speculation.modes) result.modes.emplace_back().mode = mode;
  for (std::uint64_t i = 0; i < prompts.size(); ++i) {
    INGOT_TRY(monitor.Tell({"measuring", i, prompts.size(), "prompts", 0, {}}));
    const std::span<const TokenId> prompt = prompts[i];
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
