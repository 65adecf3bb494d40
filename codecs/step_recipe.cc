#include "codecs/step_recipe.h"

#include "codecs/encoders/dependent_makers.h"
#include "codecs/recipe.h"

namespace ingot::codecs {

Result<EntropyMethod> StepMethodOf(const RecipeOptions& options) {
  INGOT_ASSIGN(const Recipe* recipe, FindRecipe(options.codec));
  if (recipe->ladder != RecipeLadder::kSteps)
    return InvalidArgument("codec " + options.codec + " has no steps to choose");
  if (recipe->make == MakeDependent) return DependentMethod(options);
  return EntropyMethod{};
}

}  // namespace ingot::codecs
