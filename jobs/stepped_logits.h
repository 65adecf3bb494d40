// A model as the evaluator wants it, run as generation runs it: of each window the tokens up to the
// first scored one are a prompt, those after it come one at a time, and policies decide for them
// what they decide for generated tokens. Several windows are stepped together; by the runner's
// contract (docs/design.md) none sees the others.
//
// Thread rule: a source belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "loader/eval/evaluate.h"
#include "loader/ingot.h"

namespace ingot::jobs {

struct StepPolicies {
  loader::PrecisionPolicy* precision = nullptr;
  loader::ExitPolicy* exits = nullptr;
};

class SteppedLogits : public loader::LogitSource {
 public:
  // For Evaluate over these tokens with these options, whose windows it asks for in order. All is
  // borrowed. REQUIRES: at most one of the policies decides at layer borders; `options` are not an
  // encoder's.
  SteppedLogits(std::shared_ptr<const loader::Model> model, std::span<const model::TokenId> tokens,
                const loader::EvalOptions& options, const StepPolicies& policies);

  std::size_t vocab_size() const override { return runner_.model().architecture().vocab_size; }
  Result<std::span<const float>> Logits(std::span<const std::int32_t> window,
                                        std::size_t first) override;

  // What the rows after prompts read, and how many they were.
  const loader::CpuOps::WeightReads& reads() const { return reads_; }
  std::uint64_t rows() const { return rows_; }

 private:
  // A window under way.
  struct Run {
    std::vector<model::TokenId> ids;
    std::size_t first = 0;
    std::unique_ptr<loader::Sequence> sequence;
    loader::TokenContext next;  // of the next token to run
    std::vector<float> logits;  // after the tokens [first, ids.size() - 1)
  };
  Status RunGroup();
  Status Prompt(Run& run);
  Status Step(std::vector<Run*>& going);
  void Take(Run& run, std::span<const float> logits);

  loader::Runner runner_;
  StepPolicies policies_;
  std::vector<Run> runs_;
  std::size_t next_ = 0, ready_ = 0;  // the next window asked for; those run so far
  loader::CpuOps::WeightReads reads_;
  std::uint64_t rows_ = 0;
};

}  // namespace ingot::jobs
