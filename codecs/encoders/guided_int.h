// Encoders that round int planes by a guide: error compensation a plane, each over what the planes
// before it leave.
//
// Thread rule: encoders are immutable.
#pragma once

#include <memory>
#include <vector>

#include "codecs/encoders/tensor_encoder.h"
#include "codecs/rounding/plane_rounding.h"

namespace ingot::codecs {

// `specs`: int planes (symmetric or asymmetric), where rotated a hadamard plane, and where exact a
// remainder of `dtype` as the last. `plain` encodes without statistics; null: this method with the
// identity. REQUIRES: specs are valid for `cols`.
Result<std::unique_ptr<TensorEncoder>> MakeGuidedIntEncoder(std::vector<PlaneSpec> specs,
                                                            std::unique_ptr<TensorEncoder> plain,
                                                            RoundingEffort effort,
                                                            std::uint64_t cols, DType dtype);

}  // namespace ingot::codecs
