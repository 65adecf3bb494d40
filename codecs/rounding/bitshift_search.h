// The cheapest codes of a ring of weights under a bit-shift trellis
// (codecs/planes/bitshift_levels.h), by Viterbi's algorithm over all 2^state_bits states. A ring's
// ends meet (tail-biting): what the states at its border have in common is taken from a search over
// the weights around it, then held (QTIP, Tseng et al. 2024, algorithm 4).
//
// Thread rule: a search belongs to one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "codecs/rounding/aligned_array.h"

namespace ingot::codecs {

class BitshiftSearch {
 public:
  // For rings of at most `longest` weights. REQUIRES: 2 <= bits <= 4, 8 <= state_bits <= 16.
  BitshiftSearch(int state_bits, int bits, std::size_t longest);
  static std::uint64_t Bytes(int state_bits, int bits, std::size_t longest);

  // The codes of least sum of weights[i] (targets[i] - level)², nearly, and their levels plus 128.
  // Targets are in levels. REQUIRES: 1 <= targets.size() <= longest; all sizes are equal.
  void Run(std::span<const float> targets, std::span<const float> weights,
           std::span<std::uint8_t> codes, std::span<std::uint8_t> bytes);

 private:
  std::size_t heads() const { return std::size_t{1} << (state_bits_ - bits_); }
  void Step(float target, float weight, std::size_t number);
  std::size_t Least(std::size_t begin, std::size_t stride, std::size_t count) const;
  std::size_t Before(std::size_t state, std::size_t number) const;
  std::size_t Border(std::span<const float> targets, std::span<const float> weights);
  void TryAll(std::span<const float> targets, std::span<const float> weights,
              std::span<std::uint8_t> codes) const;
  void Levels(std::span<const std::uint8_t> codes, std::span<std::uint8_t> bytes) const;

  int state_bits_, bits_;
  AlignedArray<float> values_, metrics_, next_;
  AlignedArray<std::uint8_t> decisions_;  // of each step, heads() bytes
};

}  // namespace ingot::codecs
