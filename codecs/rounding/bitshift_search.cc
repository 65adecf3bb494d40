#include "codecs/rounding/bitshift_search.h"

#include <algorithm>
#include <utility>

#include "codecs/planes/bitshift_levels.h"
#include "codecs/rounding/bitshift_kernels.h"

namespace ingot::codecs {
namespace {

// Beyond any metric, and far from overflow.
constexpr float kUnreached = 1e30f;
// Weights on either side of a ring's border that settle the state there.
constexpr std::size_t kAround = 48;

}  // namespace

BitshiftSearch::BitshiftSearch(int state_bits, int bits, std::size_t longest)
    : state_bits_(state_bits),
      bits_(bits),
      values_(std::size_t{1} << state_bits),
      metrics_(values_.size()),
      next_(values_.size()),
      decisions_(std::max(longest, std::size_t{1}) * heads()) {
  for (std::size_t s = 0; s < values_.size(); ++s)
    values_[s] = static_cast<float>(BitshiftByte(static_cast<std::uint32_t>(s)) - 128);
}

std::uint64_t BitshiftSearch::Bytes(int state_bits, int bits, std::size_t longest) {
  return (std::uint64_t{12} << state_bits) + (std::uint64_t{longest} << (state_bits - bits));
}

void BitshiftSearch::Step(float target, float weight, std::size_t number) {
  kBitshift.Best().step[bits_ - 2]({metrics_.data(), values_.data(), target, weight, heads(),
                                    next_.data(), decisions_.data() + number * heads()});
  std::swap(metrics_, next_);
}

// Of states begin, begin + stride, ... the cheapest.
std::size_t BitshiftSearch::Least(std::size_t begin, std::size_t stride, std::size_t count) const {
  std::size_t best = begin;
  for (std::size_t i = 1; i < count; ++i)
    if (metrics_[begin + i * stride] < metrics_[best]) best = begin + i * stride;
  return best;
}

// The state before step `number`, of the path that is in `state` after it.
std::size_t BitshiftSearch::Before(std::size_t state, std::size_t number) const {
  const std::size_t head = state >> bits_;
  return decisions_[number * heads() + head] * heads() + head;
}

// What the states of a good path have in common at the ring's border: the bits that stay.
std::size_t BitshiftSearch::Border(std::span<const float> targets, std::span<const float> weights) {
  const std::size_t n = targets.size(), before = std::min(kAround, n / 2);
  const std::size_t after = std::min(kAround, n - before);
  std::fill_n(metrics_.data(), metrics_.size(), 0.0f);
  for (std::size_t i = 0; i < before + after; ++i) {
    const std::size_t at = (n - before + i) % n;
    Step(targets[at], weights[at], i);
  }
  std::size_t state = Least(0, 1, metrics_.size());
  for (std::size_t i = before + after; i > before; --i) state = Before(state, i - 1);
  return state & (heads() - 1);
}

// Rings shorter than a state, whose bits it holds more than once.
void BitshiftSearch::TryAll(std::span<const float> targets, std::span<const float> weights,
                            std::span<std::uint8_t> codes) const {
  const std::size_t n = targets.size(), mask = values_.size() - 1;
  const std::size_t digit = (std::size_t{1} << bits_) - 1;
  const auto held = static_cast<std::size_t>((state_bits_ - 1) / bits_);
  float least = 0;
  std::size_t best = 0;
  for (std::size_t ring = 0; ring < std::size_t{1} << (n * static_cast<std::size_t>(bits_));
       ++ring) {
    const auto code = [&](std::size_t i) {
      return ring >> (i % n * static_cast<std::size_t>(bits_)) & digit;
    };
    std::size_t state = 0;
    for (std::size_t back = held; back > 0; --back) state = state << bits_ | code(n - back % n);
    float cost = 0;
    for (std::size_t i = 0; i < n; ++i) {
      state = (state << bits_ | code(i)) & mask;
      const float off = values_[state] - targets[i];
      cost += off * weights[i] * off;
    }
    if (ring > 0 && cost >= least) continue;
    least = cost;
    best = ring;
  }
  for (std::size_t i = 0; i < n; ++i)
    codes[i] = static_cast<std::uint8_t>(best >> (i * static_cast<std::size_t>(bits_)) & digit);
}

void BitshiftSearch::Levels(std::span<const std::uint8_t> codes,
                            std::span<std::uint8_t> bytes) const {
  const std::size_t n = codes.size(), mask = values_.size() - 1;
  const auto held = static_cast<std::size_t>((state_bits_ - 1) / bits_);
  std::size_t state = 0;
  for (std::size_t back = held; back > 0; --back)
    state = state << bits_ | codes[(n - back % n) % n];
  for (std::size_t i = 0; i < n; ++i) {
    state = (state << bits_ | codes[i]) & mask;
    bytes[i] = BitshiftByte(static_cast<std::uint32_t>(state));
  }
}

void BitshiftSearch::Run(std::span<const float> targets, std::span<const float> weights,
                         std::span<std::uint8_t> codes, std::span<std::uint8_t> bytes) {
  const std::size_t n = targets.size();
  if (n * static_cast<std::size_t>(bits_) < static_cast<std::size_t>(state_bits_)) {
    TryAll(targets, weights, codes);
  } else {
    const std::size_t border = Border(targets, weights);
    std::fill_n(metrics_.data(), metrics_.size(), kUnreached);
    metrics_[border] = 0;
    for (std::size_t i = 0; i < n; ++i) Step(targets[i], weights[i], i);
    std::size_t state = Least(border, heads(), std::size_t{1} << bits_);
    for (std::size_t i = n; i > 0; --i) {
      codes[i - 1] = static_cast<std::uint8_t>(state & ((1u << bits_) - 1));
      state = Before(state, i - 1);
    }
  }
  Levels(codes, bytes);
}

}  // namespace ingot::codecs
