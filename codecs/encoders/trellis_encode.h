// The encoder of `trellis_v1`: a fixed rate by a bit-shift trellis down the rows of each column,
// with compensation from column to column.
//
// Thread rule: encoders are immutable.
#pragma once

#include <memory>
#include <optional>

#include "codecs/encoders/tensor_encoder.h"

namespace ingot::codecs {

// `spec`: a trellis plane. Rows are rotated first where there is a rotation. InvalidArgument where
// one does not fit `cols`.
Result<std::unique_ptr<TensorEncoder>> MakeTrellisEncoder(PlaneSpec spec,
                                                          std::optional<PlaneSpec> rotation,
                                                          std::uint64_t cols, DType dtype);

}  // namespace ingot::codecs
