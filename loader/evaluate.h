// What compression cost: perplexity of a model and of its reference on the same windows, the KL
// divergence between their next-token distributions, and how often they agree on the likeliest
// token, each with its standard error over scored tokens.
//
// Thread rule: plain functions; the models may be shared.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "loader/eval_windows.h"
#include "loader/loaded_model.h"

namespace ingot::loader {

struct EvalOptions {
  WindowOptions windows;
  SampleOptions sample;         // used when there is no text
  std::string reference_cache;  // file that keeps the reference's distributions; empty: none
  // Called after each window with windows done and in all, and the running perplexities.
  std::function<void(std::uint64_t done, std::uint64_t total, double perplexity,
                     double reference_perplexity)>
      progress;
};

struct EvalResult {
  double perplexity = 0;
  double perplexity_stderr = 0;  // exp(mean nll) * stderr(nll), as llama-perplexity
  double reference_perplexity = 0;
  double reference_perplexity_stderr = 0;
  double delta_perplexity_percent = 0;         // 100 (perplexity / reference - 1)
  double delta_perplexity_percent_stderr = 0;  // paired: from the differences of nll
  double kl_mean = 0;                          // KL(reference || model), nats a token
  double kl_mean_stderr = 0;
  double kl_p99 = 0;
  double kl_p99_stderr = 0;  // half the distance of the order statistics one binomial deviation off
  double top1_agreement = 0;  // fraction
  double top1_agreement_stderr = 0;
  std::uint64_t tokens = 0;  // scored
  std::uint64_t windows = 0;
  std::uint64_t context = 0;
  bool sampled_text = false;
  bool cached_reference = false;
  bool beyond_trained_length = false;
};

// Evaluates on `text`, or, when it is empty, on text that the reference samples itself. Open both
// models with Compute::kExact unless the fast kernels are what is to be measured. InvalidArgument
// when vocabularies or tokenizers differ or the text is too short; Corruption when logits are not
// finite.
Result<EvalResult> Evaluate(std::shared_ptr<const Model> model,
                            std::shared_ptr<const Model> reference, std::string_view text,
                            const EvalOptions& options);

// One scored position.
struct PositionScore {
  double nll = 0;
  double reference_nll = 0;
  double kl = 0;
  bool agrees = false;
};

// Scores one target under two logit vectors of `vocab` values.
PositionScore ScorePosition(const float* logits, const float* reference, std::size_t vocab,
                            model::TokenId target);

// Means, quantile and standard errors. REQUIRES: scores not empty.
EvalResult Summarize(std::span<const PositionScore> scores);

}  // namespace ingot::loader
