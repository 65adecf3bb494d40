// The recipes of a ladder by steps (`entropy_v1`, `entropy_v2`): how each one rounds.
//
// Thread rule: pure functions.
#pragma once

#include "codecs/encoders/recipe_makers.h"
#include "codecs/rounding/entropy_method.h"

namespace ingot::codecs {

// InvalidArgument where the recipe is none of them, or has no trellis of so many states.
Result<EntropyMethod> StepMethodOf(const RecipeOptions& options);

}  // namespace ingot::codecs
