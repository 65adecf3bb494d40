// `ingot pack --bpw | --size | --max-kl`: the budget's part of the command.
#pragma once

#include <string>

#include "codecs/recipe.h"
#include "model/checkpoint.h"
#include "pack/allocate.h"
#include "pack/plan.h"

namespace ingot::cli {

struct BudgetOptions {
  double bits = 0;    // --bpw
  std::string size;   // --size
  double max_kl = 0;  // --max-kl
  bool given() const { return bits > 0 || !size.empty() || max_kl > 0; }
};

// Chooses a recipe for every matrix that the statistics know and no rule names, by the budget over
// the ladder of `codec` (empty: entropy_v1), into options.chosen and options.allocation.
// InvalidArgument without statistics, for more than one budget and for one that cannot be met.
Status ChooseByBudget(const model::Checkpoint& checkpoint, const BudgetOptions& budget,
                      const codecs::RecipeOptions& codec, bool quiet, pack::PlanOptions& options);

// `--plan-only`: size and predicted loss over a sweep of budgets, as text or JSON.
Result<std::string> BudgetSweep(const model::Checkpoint& checkpoint,
                                const codecs::RecipeOptions& codec, bool json, bool quiet,
                                const pack::PlanOptions& options);

}  // namespace ingot::cli
