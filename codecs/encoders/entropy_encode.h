// The encoder of `entropy_v1` and `entropy_v2` (docs/codecs.md): a whole matrix at a time up to
// kEntropySlabWeights, rounded by entropy_method.h, stored by entropy_pack.h.
#pragma once

#include <memory>

#include "codecs/encoders/tensor_encoder.h"
#include "codecs/rounding/entropy_method.h"

namespace ingot::codecs {

// Larger matrices are encoded in bands of as many rows as this holds.
inline constexpr std::uint64_t kEntropySlabWeights = std::uint64_t{64} << 20;

// InvalidArgument where step and rate are both given or out of range.
Result<std::unique_ptr<TensorEncoder>> MakeEntropyEncoder(const EntropyMethod& method, double step,
                                                          double rate, std::uint64_t cols,
                                                          DType dtype);

}  // namespace ingot::codecs
