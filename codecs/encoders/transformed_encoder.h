// A TensorEncoder around another: rows are turned by an input transform, encoded, and the
// transform's plane is listed with those of level 0.
#pragma once

#include <memory>
#include <optional>

#include "codecs/encoders/tensor_encoder.h"
#include "codecs/planes/transform.h"

namespace ingot::codecs {

// `inner` encodes f32 rows of the same width and lists no transform. `remainder`, of `dtype`, is a
// last plane after inner's that restores the source.
// REQUIRES: `rotation` is a valid hadamard spec for inner->cols().
std::unique_ptr<TensorEncoder> MakeRotatedEncoder(std::unique_ptr<TensorEncoder> inner,
                                                  PlaneSpec rotation,
                                                  std::optional<PlaneSpec> remainder, DType dtype);

}  // namespace ingot::codecs
