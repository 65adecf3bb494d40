#include "loader/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "loader/kernels/vector_kernels.h"

namespace ingot::loader {
namespace {

// Candidates that are sorted at first.
constexpr std::size_t kFirstSorted = 256;

// splitmix64's step and its finalizer.
constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;
std::uint64_t Mix(std::uint64_t z) {
  z += kGolden;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

Status OutOfRange(const char* option, double value, const char* range) {
  return InvalidArgument(std::string(option) + " is " + std::to_string(value) + ", must be " +
                         range);
}

}  // namespace

Result<Sampler> Sampler::Make(const SamplerOptions& options) {
  // Written so that NaN fails too.
  if (!(options.temperature >= 0 && options.temperature < 1e6))
    return OutOfRange("temperature", options.temperature, "at least 0");
  if (!(options.top_p > 0 && options.top_p <= 1))
    return OutOfRange("top-p", options.top_p, "in (0, 1]");
  if (!(options.min_p >= 0 && options.min_p <= 1))
    return OutOfRange("min-p", options.min_p, "in [0, 1]");
  if (!(options.repetition_penalty > 0 && options.repetition_penalty < 1e6))
    return OutOfRange("repetition penalty", options.repetition_penalty, "positive");
  return Sampler(options);
}

void Sampler::Penalize(std::span<const model::TokenId> seen) {
  if (options_.repetition_penalty == 1) return;
  const auto penalty = static_cast<float>(options_.repetition_penalty);
  for (const model::TokenId id : std::unordered_set<model::TokenId>(seen.begin(), seen.end())) {
    if (id < 0 || static_cast<std::size_t>(id) >= logits_.size()) continue;
    float& logit = logits_[static_cast<std::size_t>(id)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

// Likeliest first, of those that top-k keeps; the rest of what top-p can never reach is left out
// unsorted: a vocabulary is long, and most of its tokens share a thousandth of the probability.
void Sampler::Sort() {
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  };
  const std::size_t wanted =
      options_.top_k > 0 ? std::min(options_.top_k, candidates_.size()) : candidates_.size();
  // Where not all of top-k's are sorted at once their sum is to be known.
  if (wanted > kFirstSorted && wanted < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(wanted),
                     candidates_.end(), before);
    candidates_.resize(wanted);
  }
  double total = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  // Enough are sorted when they hold the probability, are as many as top-k keeps, or are all.
  for (std::size_t count = std::min(kFirstSorted, wanted);; count = std::min(wanted, 4 * count)) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(count),
                      candidates_.end(), before);
    double kept = 0;
    for (std::size_t i = 0; i < count; ++i) kept += candidates_[i].weight;
    const bool least = options_.min_p > 0 &&
                       candidates_[count - 1].weight < options_.min_p * candidates_.front().weight;
    if (count < wanted && !(options_.top_p < 1 && kept >= options_.top_p * total) && !least)
      continue;
    candidates_.resize(count);
    total_ = options_.top_k > 0 && count == wanted ? kept : total;
    return;
  }
}

// REQUIRES: Sort.
void Sampler::Filter() {
  if (options_.top_p < 1) {
    double kept = 0;
    std::size_t count = 0;
    while (count < candidates_.size() && kept < options_.top_p * total_)
      kept += candidates_[count++].weight;
    candidates_.resize(std::max<std::size_t>(count, 1));
  }
  if (options_.min_p > 0) {
    const double least = options_.min_p * candidates_.front().weight;
    while (candidates_.back().weight < least) candidates_.pop_back();
  }
}

Sampler::Drawn Sampler::Draw(std::uint64_t number) const {
  const std::uint64_t key = Mix(options_.seed ^ Mix(number + 1));
  double total = 0, best = std::numeric_limits<double>::infinity();
  const Candidate* winner = nullptr;
  for (const Candidate& c : candidates_) {
    total += c.weight;
    // In (0, 1]. -log(u) is at least 1 - u, which most tokens already lose with.
    const double u =
        static_cast<double>((Mix(key + static_cast<std::uint64_t>(c.id) * kGolden) >> 11) + 1) *
        0x1p-53;
    if (winner != nullptr && 1 - u >= c.weight * best) continue;
    const double time = -std::log(u) / c.weight;
    if (winner != nullptr && !(time < best)) continue;
    best = time;
    winner = &c;
  }
  return {winner->id, winner->weight / total};
}

Status LogitsNotFinite() {
  return Corruption(
      "logits are not finite: weights or activations overflow; pack the source again, without "
      "--allow-nonfinite where it was given");
}

Result<model::TokenId> Sampler::Sample(std::span<const float> logits,
                                       std::span<const model::TokenId> seen) {
  INGOT_ASSIGN(const Drawn drawn, Preview(logits, seen, 0));
  ++draws_;
  return drawn.id;
}

Result<Sampler::Drawn> Sampler::Preview(std::span<const float> logits,
                                        std::span<const model::TokenId> seen, std::uint64_t ahead) {
  if (logits.empty()) return InvalidArgument("no logits to sample from");
  logits_.assign(logits.begin(), logits.end());
  Penalize(seen);
  const LogitStats stats = kVectorKernels.Best().logit_stats(logits_.data(), logits_.size());
  if (!std::isfinite(stats.max) || !std::isfinite(stats.sum_exp)) return LogitsNotFinite();
  if (options_.temperature == 0)
    return Drawn{static_cast<model::TokenId>(stats.argmax), 1 / stats.sum_exp};
  const double inverse = 1.0 / options_.temperature;
  candidates_.clear();
  for (std::size_t i = 0; i < logits_.size(); ++i)
    candidates_.push_back({static_cast<model::TokenId>(i),
                           std::exp((static_cast<double>(logits_[i]) - stats.max) * inverse)});
  if (options_.top_k > 0 || options_.top_p < 1 || options_.min_p > 0) {
    Sort();
    Filter();
  }
  return Draw(draws_ + ahead);
}

}  // namespace ingot::loader
