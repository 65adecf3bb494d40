// Encoders that round int planes by a guide: error compensation a plane, each over what the planes
// before it leave.
//
// Thread rule: encoders are immutable.
#pragma once

#include <memory>
#include <vector>

#include "codecs/recipe.h"

namespace ingot::codecs {

// How long a plane's grids and codes are improved after the first rounding. Rows keep what lowers
// their loss.
struct RoundingEffort {
  int rounds = 1;    // rounding again, with grids for the targets that the last round met
  int turns = 0;     // of the two below, one after the other
  int descents = 2;  // a turn: sweeps of coordinate descent over the codes
  int refits = 0;    // a turn: scales by least squares under the whole Hessian, codes as they are
};

// `specs`: int planes (symmetric or asymmetric), where rotated a hadamard plane, and where exact a
// remainder of `dtype` as the last. `plain` encodes without statistics; null: this method with the
// identity. REQUIRES: specs are valid for `cols`.
Result<std::unique_ptr<TensorEncoder>> MakeGuidedIntEncoder(std::vector<PlaneSpec> specs,
                                                            std::unique_ptr<TensorEncoder> plain,
                                                            RoundingEffort effort,
                                                            std::uint64_t cols, DType dtype);

}  // namespace ingot::codecs
