// The next token of each row of logits, as loader/sampler.h draws it: the same filters, the same
// exponential race of the same numbers.
//
// Every pointer is the device's. Errors as in exit_kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "loader/cuda/kernels/launch_types.h"

namespace ingot::cuda {

// What a draw goes by beside the logits.
struct RowDraw {
  std::uint64_t seed = 0;
  std::uint64_t number = 0;  // of the draw, from 0 on
};

struct SampleArgs {
  const float* logits = nullptr;        // rows x vocab
  const RowDraw* draws = nullptr;       // rows; not read where temperature is 0
  const std::uint32_t* seen = nullptr;  // rows x SeenWords: a bit a token, for `penalty`; or null
  double* weights = nullptr;            // rows x vocab, scratch; not used where temperature is 0
  std::int32_t* ids = nullptr;          // rows; -1 where a logit is NaN or none is finite
  int rows = 0, vocab = 0;
  double temperature = 1;  // 0: the likeliest
  int top_k = 0;           // 0: all
  double top_p = 1, min_p = 0;
  float penalty = 1;
};

constexpr std::size_t SeenWords(std::size_t vocab) { return (vocab + 31) / 32; }

extern "C" {
int launch_sample(const SampleArgs* args, void* stream);
}

}  // namespace ingot::cuda
