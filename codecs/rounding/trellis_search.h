// The cheapest codes of one column of a `dependent` plane: Viterbi's algorithm over the trellis of
// codecs/planes/trellis_code.h, on squared error plus the price of the code's bits. Both count in
// squared steps.
//
// Thread rule: a search belongs to one thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "codecs/planes/trellis_code.h"
#include "codecs/rounding/aligned_array.h"
#include "codecs/rounding/trellis_kernels.h"

namespace ingot::codecs {

// What the codes of a class cost, by their byte: code + 128, 0 where it is no byte of 1 to 255.
using CodeCosts = std::array<float, 256>;

// The weights of one run, which begins in state 0. REQUIRES: targets and rates have room for
// `count` rounded up to kTrellisPadding, all finite; rates >= 0.
struct TrellisRun {
  const float* targets = nullptr;  // in steps
  const float* rates = nullptr;    // how much (k + 1/4)² counts beside the squared error when
                                   // the best code of a parity is taken
  const std::uint8_t* classes = nullptr;  // of each weight, into `costs`
  const CodeCosts* costs = nullptr;
  std::size_t count = 0;
};
inline constexpr std::size_t kTrellisPadding = 16;

class TrellisSearch {
 public:
  explicit TrellisSearch(const TrellisCode& code, Isa isa = BestIsa());

  // codes[n], and levels[n] = TrellisLevel(state, code) of the states that they lead through.
  void Run(const TrellisRun& run, std::int32_t* codes, std::int32_t* levels);

  // Bytes of one that has run over `count` weights.
  static std::uint64_t Bytes(std::uint64_t count, int states);

 private:
  void Reserve(std::size_t count);
  void Extend(std::size_t count);

  TrellisCode code_;
  const TrellisKernels& kernels_;
  std::size_t capacity_ = 0;
  std::vector<TrellisStep> steps_;
  AlignedArray<std::uint8_t> codes_;
  AlignedArray<float> errors_, costs_, metrics_;
  AlignedArray<std::uint32_t> decisions_;
};

}  // namespace ingot::codecs
