// The maker of `entropy_v2`, and the trellis that its options ask for.
//
// Thread rule: pure functions.
#pragma once

#include <memory>

#include "codecs/encoders/recipe_makers.h"
#include "codecs/rounding/entropy_method.h"

namespace ingot::codecs {

// options.bits are those of the trellis's state, 2 to 12; 0 = 8, 256 states. InvalidArgument for
// others.
Result<EntropyMethod> DependentMethod(const RecipeOptions& options);
// Integers of any rate under `step` or `rate`, by a trellis.
Result<std::unique_ptr<TensorEncoder>> MakeDependent(const RecipeOptions& options,
                                                     std::uint64_t cols, DType dtype);

}  // namespace ingot::codecs
