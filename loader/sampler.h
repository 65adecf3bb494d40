// From logits to the next token: greedy, or a draw after the usual filters, reproducible by seed.
//
// Draw n of token i goes by a number of its own, made of the seed, n and i: an exponential race,
// which the token with the smallest Exp(1) / weight wins. So a draw depends on nothing but the
// logits, the seed and n, and two distributions that are alike draw the same token most of the time
// (a coupling without communication: Daliri, Musco, Suresh, 2024). Speculation leans on both
// (loader/speculate/speculative_decoder.h).
//
// Thread rule: a sampler belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

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

// Corruption: what logits are whose model has weights or activations that are no numbers.
Status LogitsNotFinite();

class Sampler {
 public:
  // InvalidArgument names an option that is out of range.
  static Result<Sampler> Make(const SamplerOptions& options);

  // Draws from the logits of the next token; ties go to the lower id. `seen` are the tokens so far,
  // for the repetition penalty. Corruption when a logit is NaN, or none is finite.
  Result<model::TokenId> Sample(std::span<const float> logits,
                                std::span<const model::TokenId> seen);

  struct Drawn {
    model::TokenId id;
    double probability;  // of what the filters leave; greedy: of all tokens
  };
  // What Sample would draw from these logits after `ahead` draws more. Errors as of Sample.
  Result<Drawn> Preview(std::span<const float> logits, std::span<const model::TokenId> seen,
                        std::uint64_t ahead);

 private:
  explicit Sampler(const SamplerOptions& options) : options_(options) {}
  struct Candidate {
    model::TokenId id;
    double weight;  // a logit, then a probability that is not normalised
  };
  void Penalize(std::span<const model::TokenId> seen);
  void Sort();
  void Filter();
  Drawn Draw(std::uint64_t number) const;

  SamplerOptions options_;
  std::uint64_t draws_ = 0;
  std::vector<float> logits_;
  std::vector<Candidate> candidates_;
  double total_ = 0;  // of the weights of all tokens that top-k keeps
};

}  // namespace ingot::loader
