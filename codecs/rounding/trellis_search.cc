#include "codecs/rounding/trellis_search.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace ingot::codecs {
namespace {

// Metrics of states that no path has reached yet.
constexpr float kUnreached = 1e30f;
// Steps after which metrics are brought back to around 0, so that they stay exact enough.
constexpr std::size_t kStepsBetween = 256;

std::size_t Padded(std::size_t count) {
  return (count + kTrellisPadding - 1) / kTrellisPadding * kTrellisPadding;
}

bool Odd(std::uint32_t bits) { return (std::popcount(bits) & 1) != 0; }

// The code that TrellisKernels::branches found, where a byte could not say it: the same operations.
std::int32_t FarCode(float target, float rate, int set, int parity) {
  constexpr float kFurthest = 1048576.0f;
  const float z = (set == 0 ? target : 0.0f - target) - 0.25f;
  const float best = (z - rate * 0.25f) * (1.0f / (1.0f + rate));
  const auto odd = static_cast<float>(parity);
  const float pair = std::nearbyint((best - odd) * 0.5f);
  return static_cast<std::int32_t>(std::clamp(pair + pair, -kFurthest, kFurthest) + odd);
}

}  // namespace

TrellisSearch::TrellisSearch(const TrellisCode& code, Isa isa)
    : code_(code),
      kernels_(kTrellis.For(isa)),
      metrics_(2 * static_cast<std::size_t>(code.states)) {}

std::uint64_t TrellisSearch::Bytes(std::uint64_t count, int states) {
  return Padded(count) * (4 + 16 + 16 + 4) +
         count * DecisionWords(static_cast<std::size_t>(states)) * 4;
}

void TrellisSearch::Reserve(std::size_t count) {
  if (count <= capacity_) return;
  capacity_ = Padded(count);
  codes_ = AlignedArray<std::uint8_t>(4 * capacity_);
  errors_ = AlignedArray<float>(4 * capacity_);
  costs_ = AlignedArray<float>(4 * capacity_);
  decisions_ = AlignedArray<std::uint32_t>(capacity_ *
                                           DecisionWords(static_cast<std::size_t>(code_.states)));
  Extend(capacity_);
}

// flip_t = A^-(t+1) input, mask_t the functional "low bit of A^t i", where A s = (s >> 1) ^ (s & 1
// ? feedback : 0).
void TrellisSearch::Extend(std::size_t count) {
  const auto top = static_cast<std::uint32_t>(code_.states) / 2;
  const auto back = [&](std::uint32_t s) {
    const bool low = (s & top) != 0;
    return ((s ^ (low ? code_.feedback : 0u)) << 1 | (low ? 1u : 0u)) & (2 * top - 1);
  };
  std::uint32_t flip = steps_.empty() ? code_.input : steps_.back().flip;
  std::uint32_t mask = 1;
  if (!steps_.empty()) {
    const std::uint32_t last = steps_.back().mask;
    mask = ((last << 1) & (2 * top - 1)) | (Odd(last & code_.feedback) ? 1u : 0u);
  }
  while (steps_.size() < count) {
    flip = back(flip);
    steps_.push_back({static_cast<std::uint16_t>(flip), static_cast<std::uint16_t>(mask)});
    mask = ((mask << 1) & (2 * top - 1)) | (Odd(mask & code_.feedback) ? 1u : 0u);
  }
}

void TrellisSearch::Run(const TrellisRun& run, std::int32_t* codes, std::int32_t* levels) {
  if (run.count == 0) return;
  Reserve(run.count);
  const std::size_t stride = capacity_, count = run.count;
  const auto states = static_cast<std::size_t>(code_.states);
  const std::size_t words = DecisionWords(states);
  kernels_.branches(run.targets, run.rates, count, stride, codes_.data(), errors_.data());
  for (std::size_t n = 0; n < count; ++n) {
    const CodeCosts& cost = run.costs[run.classes[n]];
    for (std::size_t q = 0; q < 4; ++q)
      costs_[4 * n + q] = errors_[q * stride + n] + cost[codes_[q * stride + n]];
  }
  std::fill_n(metrics_.data(), states, kUnreached);
  metrics_[0] = 0;
  for (std::size_t t = 0; t < count; t += kStepsBetween) {
    kernels_.steps(costs_.data() + 4 * t, steps_.data() + t, std::min(kStepsBetween, count - t),
                   states, metrics_.data(), decisions_.data() + t * words);
    const float base = metrics_[0];
    for (std::size_t i = 0; i < states; ++i) metrics_[i] -= base;
  }
  auto i = static_cast<std::uint32_t>(std::min_element(metrics_.data(), metrics_.data() + states) -
                                      metrics_.data());
  for (std::size_t t = count; t-- > 0;) {
    const TrellisStep step = steps_[t];
    const int set = Odd(i & step.mask) ? 1 : 0;
    const int parity = static_cast<int>(decisions_[t * words + i / 32] >> (i % 32) & 1);
    const std::uint8_t byte = codes_[static_cast<std::size_t>(2 * set + parity) * stride + t];
    codes[t] = byte != 0 ? byte - 128 : FarCode(run.targets[t], run.rates[t], set, parity);
    levels[t] = TrellisLevel(static_cast<std::uint32_t>(set), codes[t]);
    if (parity != 0) i ^= step.flip;
  }
}

}  // namespace ingot::codecs
