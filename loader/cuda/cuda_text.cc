#include "loader/cuda/cuda_text.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "loader/clock.h"
#include "loader/text_delivery.h"

namespace ingot::cuda {
namespace {

// A sequence of a runner, for as long as somebody needs it.
class OpenSequence {
 public:
  explicit OpenSequence(CudaRunner& runner) : runner_(runner), number_(runner.Open()) {}
  OpenSequence(const OpenSequence&) = delete;
  OpenSequence& operator=(const OpenSequence&) = delete;
  ~OpenSequence() { runner_.Close(number_); }

  std::uint64_t length() const { return runner_.length(number_); }
  // Appends tokens in steps that the runner takes; logits of all from `first` of them on.
  Result<std::vector<float>> Append(std::span<const model::TokenId> ids, std::size_t first) {
    std::vector<float> logits;
    INGOT_TRY(ForSteps(ids, first, [&](const model::Batch& batch, auto wanted) -> Status {
      INGOT_ASSIGN(const std::vector<float> some, runner_.Step(batch, wanted));
      logits.insert(logits.end(), some.begin(), some.end());
      return OkStatus();
    }));
    return logits;
  }
  // Appends tokens, and draws the one that follows the last.
  Result<model::TokenId> Next(std::span<const model::TokenId> ids, const DeviceDraws& draws) {
    model::TokenId next = -1;
    INGOT_TRY(ForSteps(ids, ids.size() - 1, [&](const model::Batch& batch, auto wanted) -> Status {
      if (wanted.empty()) return runner_.Step(batch, wanted).status();
      INGOT_ASSIGN(const std::vector<model::TokenId> drawn, runner_.Next(batch, wanted, draws));
      next = drawn[0];
      return OkStatus();
    }));
    return next;
  }

 private:
  template <class Run>
  Status ForSteps(std::span<const model::TokenId> ids, std::size_t first, Run run) {
    runner_.Expect(number_, length() + ids.size());
    const std::size_t most = runner_.model().architecture().masked
                                 ? ids.size()
                                 : static_cast<std::size_t>(runner_.options().rows);
    for (std::size_t begin = 0; begin < ids.size(); begin += most) {
      const std::size_t count = std::min(most, ids.size() - begin);
      const std::uint64_t start = length();
      std::vector<model::Row> rows(count);
      std::vector<std::uint32_t> wanted;
      for (std::size_t i = 0; i < count; ++i) {
        rows[i] = {number_, static_cast<std::int32_t>(start + i)};
        if (begin + i >= first) wanted.push_back(static_cast<std::uint32_t>(i));
      }
      INGOT_TRY(run(model::Batch{ids.subspan(begin, count), rows},
                    std::span<const std::uint32_t>(wanted)));
    }
    return OkStatus();
  }

  CudaRunner& runner_;
  std::uint32_t number_;
};

Status CheckRequest(const model::Architecture& architecture,
                    const loader::GenerateOptions& options) {
  using Mode = loader::SpeculationOptions::Mode;
  if (architecture.masked)
    return InvalidArgument("an encoder predicts masked tokens, it does not continue a text");
  if (options.exits) return InvalidArgument("exits on a GPU: leave them out, or use --device cpu");
  if (options.precision.mode != loader::PrecisionOptions().mode)
    return InvalidArgument("fewer planes on a GPU: leave --precision out, or use --device cpu");
  if (options.speculation.mode != Mode::kOff && options.speculation.mode != Mode::kAuto)
    return InvalidArgument("drafts on a GPU: leave --speculate out, or use --device cpu");
  return OkStatus();
}

class DeviceLogits : public loader::LogitSource {
 public:
  explicit DeviceLogits(std::unique_ptr<CudaRunner> runner) : runner_(std::move(runner)) {}
  std::size_t vocab_size() const override { return runner_->model().architecture().vocab_size; }
  Result<std::span<const float>> Logits(std::span<const std::int32_t> window,
                                        std::size_t first) override {
    OpenSequence sequence(*runner_);
    INGOT_ASSIGN(logits_, sequence.Append(window.first(window.size() - 1), first));
    return std::span<const float>(logits_);
  }

 private:
  std::unique_ptr<CudaRunner> runner_;
  std::vector<float> logits_;
};

}  // namespace

Result<loader::GenerateResult> GenerateFromIds(CudaRunner& runner,
                                               std::span<const model::TokenId> ids,
                                               const loader::GenerateOptions& options,
                                               const std::function<bool(std::string_view)>& piece) {
  const model::Architecture& architecture = runner.model().architecture();
  INGOT_TRY(CheckRequest(architecture, options));
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, runner.model().tokenizer());
  std::vector<model::TokenId> seen(ids.begin(), ids.end());
  DeviceDraws draws{options.sampler, {{options.sampler.seed, 0, seen}}};
  loader::GenerateResult result;
  result.prompt_tokens = ids.size();
  OpenSequence sequence(runner);
  auto start = loader::Clock::now();
  INGOT_ASSIGN(model::TokenId id, sequence.Next(ids, draws).At("prompt"));
  result.prefill_seconds = loader::SecondsSince(start);
  loader::TextDelivery delivery(*tokenizer, ids.back(), options, piece, result);
  start = loader::Clock::now();
  std::uint64_t drawn = 0;
  bool goes_on = options.max_tokens > 0;
  while (goes_on) {
    ++drawn;
    goes_on = delivery.Take(id);
    if (!goes_on) break;
    if (sequence.length() >= runner.context()) {
      result.stop = loader::StopReason::kContextFull;
      break;
    }
    seen.push_back(id);
    draws.rows[0] = {options.sampler.seed, drawn, seen};
    INGOT_ASSIGN(id, sequence.Next({&id, 1}, draws));
    ++result.decode_steps;
  }
  delivery.Finish();
  result.decode_tokens = drawn - std::min<std::uint64_t>(drawn, 1);
  result.decode_seconds = loader::SecondsSince(start);
  result.beyond_trained_length = sequence.length() > architecture.max_positions;
  return result;
}

std::unique_ptr<loader::LogitSource> LogitsOf(std::unique_ptr<CudaRunner> runner) {
  return std::make_unique<DeviceLogits>(std::move(runner));
}

}  // namespace ingot::cuda
