// Tokens drawn where the logits are: what loader::Sampler draws of the same logits, seed and
// number. Exponentials and logarithms are the device's, and weights are added up in another order:
// a draw differs where two tokens are within rounding of each other.
//
// Thread rule: belongs to the thread of the pool.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "loader/cuda/device_memory.h"
#include "loader/cuda/device_tensor.h"
#include "loader/sampler.h"

namespace ingot::cuda {

// How the tokens after a step's wanted rows are drawn.
struct DeviceDraws {
  loader::SamplerOptions options;  // of all rows; `seed` is each row's own
  struct Row {
    std::uint64_t seed = 0;
    std::uint64_t number = 0;              // of the draw
    std::span<const model::TokenId> seen;  // for the repetition penalty
  };
  std::vector<Row> rows;  // as many as are wanted
};

// REQUIRES: Sampler::Make takes the options; a row of draws for each of logits. Corruption where
// logits are not finite, Io where the device failed.
Result<std::vector<model::TokenId>> DrawRows(const DeviceTensor& logits, const DeviceDraws& draws,
                                             DevicePool& pool, void* stream);

}  // namespace ingot::cuda
