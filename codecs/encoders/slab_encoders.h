// TensorEncoders: whole slabs over the row encoders, in parallel over rows. recipe.cc resolves
// names to these.
#pragma once

#include <memory>
#include <vector>

#include "codecs/encoders/tensor_encoder.h"

namespace ingot::codecs {

// int planes, each over what the one before left, and after them, where `exact`, a remainder plane.
// REQUIRES: specs name valid int planes (and last a remainder of `dtype`, where exact).
std::unique_ptr<TensorEncoder> MakeIntEncoder(std::vector<PlaneSpec> specs, bool exact,
                                              std::uint64_t cols, DType dtype);

// fp8 over the row's weights within `limit` standard deviations, sparse for the others.
std::unique_ptr<TensorEncoder> MakeFp8HybridEncoder(std::vector<PlaneSpec> specs, double limit,
                                                    std::uint64_t cols, DType dtype);

// One raw or raw_split plane.
std::unique_ptr<TensorEncoder> MakeExactEncoder(PlaneSpec spec, std::uint64_t cols, DType dtype);

}  // namespace ingot::codecs
