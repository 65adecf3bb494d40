// Encoders whose first level is a codebook: `calibrated_vq` (vq), and `tenpak_x_v1` (lowrank, vq of
// what it leaves, int of what both leave as level 1), rounded by statistics where there are some.
// A codebook, and V of U V, are fitted to the whole matrix through its rows; slabs are independent.
//
// Thread rule: encoders are immutable.
#pragma once

#include <memory>
#include <vector>

#include "codecs/encoders/tensor_encoder.h"
#include "codecs/rounding/plane_rounding.h"

namespace ingot::codecs {

// `specs`: one vq plane; before it a lowrank one, after it hadamard and an int plane, where wanted.
// InvalidArgument where one does not fit `cols`, or groups of the vq plane cut its vectors.
Result<std::unique_ptr<TensorEncoder>> MakeCodebookEncoder(std::vector<PlaneSpec> specs,
                                                           RoundingEffort effort,
                                                           std::uint64_t cols, DType dtype);

}  // namespace ingot::codecs
