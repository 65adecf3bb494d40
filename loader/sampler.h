// From logits to the next token: greedy, or a draw after the usual filters, reproducible by seed.
//
// Thread rule: a sampler belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::loader {

struct SamplerOptions {
  double temperature = 1;  // 0: greedy
  std::size_t top_k = 0;   // keep the k likeliest; 0: all
  double top_p = 1;        // then the smallest set with this probability (Holtzman et al., 2020)
  double min_p = 0;        // then those with at least min_p times the top's probability
  double repetition_penalty = 1;  // CTRL's: logits of seen tokens divided (> 0) or multiplied (< 0)
  std::uint64_t seed = 0;
};

class Sampler {
 public:
  // InvalidArgument names an option that is out of range.
  static Result<Sampler> Make(const SamplerOptions& options);

  // Draws from the logits of the next token; ties go to the lower id. `seen` are the tokens so far,
  // for the repetition penalty. Corruption when a logit is NaN, or none is finite.
  Result<model::TokenId> Sample(std::span<const float> logits,
                                std::span<const model::TokenId> seen);

 private:
  explicit Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {}
  struct Candidate {
    model::TokenId id;
    double weight;  // a logit, then a probability that is not normalised
  };
  void Penalize(std::span<const model::TokenId> seen);
  void Sort();
  void Filter();
  model::TokenId Draw();

  SamplerOptions options_;
  Random random_;
  std::vector<float> logits_;
  std::vector<Candidate> candidates_;
  double total_ = 0;  // of the weights of all tokens
};

}  // namespace ingot::loader
