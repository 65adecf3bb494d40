#include "jobs/stepped_logits.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace ingot::jobs {
namespace {

// Windows that are stepped together, and the logits that are kept of them.
constexpr std::size_t kTogether = 16, kKeptLogits = std::size_t{64} << 20;

}  // namespace

SteppedLogits::SteppedLogits(std::shared_ptr<const loader::Model> model,
                             std::span<const model::TokenId> tokens,
                             const loader::EvalOptions& options, const StepPolicies& policies)
    : runner_(std::move(model)), policies_(policies) {
  if (options.max_tokens > 0 && tokens.size() > options.max_tokens)
    tokens = tokens.first(options.max_tokens);
  for (const loader::EvalWindow& window : loader::CutWindows(tokens.size(), options)) {
    Run& run = runs_.emplace_back();
    run.ids = loader::WindowTokens(tokens, window, options);
    run.first = window.first;
  }
}

Result<std::span<const float>> SteppedLogits::Logits(std::span<const std::int32_t> window,
                                                     std::size_t first) {
  INGOT_CHECK(next_ < runs_.size());
  if (next_ > 0) runs_[next_ - 1].logits = {};
  if (next_ == ready_) INGOT_TRY(RunGroup());
  const Run& run = runs_[next_++];
  INGOT_CHECK(run.first == first && std::ranges::equal(run.ids, window));
  return std::span<const float>(run.logits);
}

void SteppedLogits::Take(Run& run, std::span<const float> logits) {
  const std::uint64_t position = run.sequence->position();
  if (position > run.first) run.logits.insert(run.logits.end(), logits.begin(), logits.end());
  if (position < run.ids.size()) run.next = loader::ContextOf(logits, run.ids[position], position);
}

// A window that is scored from its first token on has that one as its prompt.
Status SteppedLogits::Prompt(Run& run) {
  run.sequence = runner_.Open();
  const std::span<const model::TokenId> ids =
      std::span(run.ids).first(std::max<std::size_t>(run.first, 1));
  const std::uint32_t planes =
      policies_.precision != nullptr ? policies_.precision->prompt_planes() : model::kAllPlanes;
  std::vector<model::Row> rows;
  for (std::size_t i = 0; i < ids.size(); ++i)
    rows.push_back({run.sequence->number(), static_cast<std::int32_t>(i), planes});
  const auto last = static_cast<std::uint32_t>(ids.size() - 1);
  INGOT_ASSIGN(const loader::Tensor logits, runner_.Step({ids, rows}, {&last, 1}));
  Take(run, {logits.data(), logits.size()});
  return OkStatus();
}

Status SteppedLogits::Step(std::vector<Run*>& going) {
  std::vector<model::TokenId> ids;
  std::vector<model::Row> rows;
  std::vector<loader::TokenContext> contexts;
  for (const Run* run : going) {
    const std::uint64_t position = run->sequence->position();
    ids.push_back(run->ids[position]);
    rows.push_back({run->sequence->number(), static_cast<std::int32_t>(position)});
    contexts.push_back(run->next);
  }
  if (policies_.precision != nullptr) {
    const std::vector<std::uint32_t> planes = policies_.precision->Start(contexts);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].planes = planes[i];
  }
  std::vector<std::uint32_t> wanted(rows.size());
  std::iota(wanted.begin(), wanted.end(), 0u);
  INGOT_ASSIGN(const loader::Tensor logits, runner_.Step({ids, rows}, wanted));
  for (std::size_t i = 0; i < going.size(); ++i) Take(*going[i], {logits.row(i), logits.cols()});
  rows_ += rows.size();
  std::erase_if(going,
                [](const Run* run) { return run->sequence->position() + 1 >= run->ids.size(); });
  return OkStatus();
}

Status SteppedLogits::RunGroup() {
  INGOT_TRY(Status(runner_.status()));
  const std::size_t scored = runs_[ready_].ids.size() - runs_[ready_].first;
  const std::size_t fit = std::max<std::size_t>(kKeptLogits / (scored * vocab_size()), 1);
  const std::size_t end = std::min({runs_.size(), ready_ + kTogether, ready_ + fit});
  std::vector<Run*> going;
  for (std::size_t i = ready_; i < end; ++i) {
    INGOT_TRY(Prompt(runs_[i]));
    if (runs_[i].sequence->position() + 1 < runs_[i].ids.size()) going.push_back(&runs_[i]);
  }
  std::optional<loader::PrecisionOf> choosing;
  std::optional<loader::ExitsOf> leaving;
  if (policies_.exits != nullptr) leaving.emplace(runner_, *policies_.exits);
  if (policies_.precision != nullptr && policies_.precision->watches_layers())
    choosing.emplace(runner_, *policies_.precision);
  const loader::CpuOps::WeightReads before = runner_.ops().weight_reads();
  while (!going.empty()) INGOT_TRY(Step(going));
  const loader::CpuOps::WeightReads& after = runner_.ops().weight_reads();
  reads_.bytes += after.bytes - before.bytes;
  reads_.row_bytes += after.row_bytes - before.row_bytes;
  reads_.row_weights += after.row_weights - before.row_weights;
  for (; ready_ < end; ++ready_) runs_[ready_].sequence.reset();
  return OkStatus();
}

}  // namespace ingot::jobs
