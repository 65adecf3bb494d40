// The two ways of rounding under one step constant, behind one call: `entropy_v1` and `entropy_v2`.
//
// Thread rule: values and pure functions, parallel inside.
#pragma once

#include <cstdint>

#include "codecs/planes/dependent_plane.h"
#include "codecs/rounding/entropy_round.h"

namespace ingot::codecs {

struct EntropyMethod {
  const TrellisCode* trellis = nullptr;  // null: entropy_v1
  std::uint64_t restart = kDependentRestart;
  double loss_scale = 1;  // what losses are multiplied by: the method stands for one of less loss

  PlaneSpec Spec(std::uint64_t band) const;
  // A cheaper method that takes as many bits at a step, and tells the loss within about 1 %: for
  // searching steps.
  EntropyMethod ForEstimates() const;
  // Bytes that rounding takes beyond entropy_v1's: of as many runs of rows as may be under way.
  std::uint64_t RunBytes(std::uint64_t rows, std::uint64_t cols) const;
};

// REQUIRES: as RoundEntropy, RoundDependent.
EntropyRounded RoundBy(const EntropyMethod& method, const EntropyRows& rows,
                       const EntropyGuide& guide, const EntropyRoundOptions& options);

}  // namespace ingot::codecs
