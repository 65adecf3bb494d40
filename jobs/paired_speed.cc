#include "jobs/paired_speed.h"

#include <chrono>
#include <cmath>
#include <optional>
#include <vector>

namespace ingot::jobs {
namespace {

using Clock = std::chrono::steady_clock;

// One of the two ways through the text.
class Way {
 public:
  Way(std::shared_ptr<const loader::Model> model, const StepPolicies& policies)
      : runner_(std::move(model)), policies_(policies), sequence_(runner_.Open()) {}

  Status Prompt(std::span<const model::TokenId> ids, model::TokenId next) {
    const std::uint32_t planes =
        policies_.precision != nullptr ? policies_.precision->prompt_planes() : model::kAllPlanes;
    INGOT_TRY(Step(ids, std::vector<std::uint32_t>(ids.size(), planes), next));
    if (policies_.exits != nullptr) leaving_.emplace(runner_, *policies_.exits);
    if (policies_.precision != nullptr && policies_.precision->watches_layers())
      choosing_.emplace(runner_, *policies_.precision);
    return OkStatus();
  }

  // The seconds that a token takes, its class and what follows from its logits included.
  Result<double> Decode(model::TokenId id, model::TokenId next) {
    const auto start = Clock::now();
    std::vector<std::uint32_t> planes = {model::kAllPlanes};
    if (policies_.precision != nullptr) planes = policies_.precision->Start({&context_, 1});
    INGOT_TRY(Step({&id, 1}, planes, next));
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

 private:
  Status Step(std::span<const model::TokenId> ids, const std::vector<std::uint32_t>& planes,
              model::TokenId next) {
    std::vector<model::Row> rows;
    for (std::size_t i = 0; i < ids.size(); ++i)
      rows.push_back(
          {sequence_->number(), static_cast<std::int32_t>(sequence_->position() + i), planes[i]});
    const auto last = static_cast<std::uint32_t>(ids.size() - 1);
    INGOT_ASSIGN(const loader::Tensor logits, runner_.Step({ids, rows}, {&last, 1}));
    if (policies_.precision != nullptr && policies_.precision->one_by_one())
      context_ = loader::ContextOf({logits.data(), logits.size()}, next, sequence_->position());
    return OkStatus();
  }

  loader::Runner runner_;
  StepPolicies policies_;
  std::unique_ptr<loader::Sequence> sequence_;
  loader::TokenContext context_;
  std::optional<loader::ExitsOf> leaving_;
  std::optional<loader::PrecisionOf> choosing_;
};

}  // namespace

SpeedRatio RatioOfPairs(std::span<const double> above, std::span<const double> below) {
  const std::size_t n = below.size();
  INGOT_CHECK(n > 0 && above.size() == n);
  double over = 0, under = 0, squares = 0;
  for (std::size_t i = 0; i < n; ++i) {
    over += above[i];
    under += below[i];
  }
  const double ratio = over / under;
  for (std::size_t i = 0; i < n; ++i) {
    const double left = above[i] - ratio * below[i];
    squares += left * left;
  }
  if (n == 1) return {ratio, 0};
  const double count = static_cast<double>(n);
  return {ratio, std::sqrt(squares * count / (count - 1)) / under};
}

Result<SpeedRatio> PairedSpeed(const std::shared_ptr<const loader::Model>& model,
                               std::span<const model::TokenId> tokens, const StepPolicies& first,
                               const StepPolicies& second) {
  INGOT_CHECK(tokens.size() > kPacedPrompt);
  Way a(model, first), b(model, second);
  for (Way* way : {&a, &b})
    INGOT_TRY(way->Prompt(tokens.first(kPacedPrompt), tokens[kPacedPrompt]));
  std::vector<double> seconds[2];
  const std::size_t end = std::min(kPacedPrompt + kPacedTokens, tokens.size());
  for (std::size_t i = kPacedPrompt; i < end; ++i) {
    std::size_t which = 0;
    for (Way* way : {&a, &b}) {
      INGOT_ASSIGN(const double took,
                   way->Decode(tokens[i], tokens[i + 1 < tokens.size() ? i + 1 : i]));
      seconds[which++].push_back(took);
    }
  }
  return RatioOfPairs(seconds[1], seconds[0]);
}

}  // namespace ingot::jobs
