// fp8_hybrid_v1 by a guide: outliers are the weights that fp8 would hurt most, and everything is
// rounded with error compensation.
//
// Thread rule: encoders are immutable.
#pragma once

#include <memory>
#include <vector>

#include "codecs/encoders/tensor_encoder.h"

namespace ingot::codecs {

// `specs`: fp8, sparse. `plain` encodes without statistics; each row gets as many outliers as it
// has weights beyond `limit` deviations, which is what `plain` takes.
// REQUIRES: specs are valid for `cols`.
std::unique_ptr<TensorEncoder> MakeGuidedFp8Encoder(std::vector<PlaneSpec> specs,
                                                    std::unique_ptr<TensorEncoder> plain,
                                                    double limit, std::uint64_t cols, DType dtype);

}  // namespace ingot::codecs
