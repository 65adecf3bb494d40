// int4_awq_v1: channel scales by activation-aware grid search (awq_scale.h), the costliest weights
// as f16 outliers, the rest rounded with error compensation in the scaled space.
//
// Thread rule: encoders are immutable.
#pragma once

#include <memory>
#include <vector>

#include "codecs/encoders/guided_int.h"

namespace ingot::codecs {

// `specs`: int, column_scale, sparse. The scales are the tensor's.
// `outlier_share` of each row's weights become outliers (rounded to a whole number).
// REQUIRES: specs are valid for `cols`; levels are symmetric or asymmetric.
std::unique_ptr<TensorEncoder> MakeAwqEncoder(std::vector<PlaneSpec> specs, double outlier_share,
                                              RoundingEffort effort, std::uint64_t cols,
                                              DType dtype);

}  // namespace ingot::codecs
