// `ingot pack --bpw | --size | --max-kl`: the budget's part of the command.
#pragma once

#include <string>
#include <vector>

#include "codecs/recipe.h"
#include "model/source/checkpoint.h"
#include "pack/allocate.h"
#include "pack/plan.h"

namespace ingot::cli {

struct BudgetOptions {
  double bits = 0;    // --bpw
  std::string size;   // --size
  double max_kl = 0;  // --max-kl
  bool given() const { return bits > 0 || !size.empty() || max_kl > 0; }
};

// What every matrix that the statistics know and no rule names may become, and at what loss.
struct BudgetCurves {
  std::vector<pack::TensorCurve> curves;
  double fixed_bytes = 0;       // of the file, that no choice changes
  codecs::RecipeOptions codec;  // whose ladder it is
};

// Tries the ladder of `codec` (empty: entropy_v1) in `memory_bytes`, the process's most.
// InvalidArgument without statistics, Limit where that is too little.
Result<BudgetCurves> MeasureBudget(const model::Checkpoint& checkpoint,
                                   const codecs::RecipeOptions& codec, std::uint64_t memory_bytes,
                                   bool quiet, const pack::PlanOptions& options);

// Chooses by the budget, into options.chosen and options.allocation. `correction`: what measured
// divergence was over the predicted loss, where that is known. InvalidArgument for more than one
// budget and for one that cannot be met.
Status ChooseByBudget(const BudgetCurves& known, const BudgetOptions& budget, double correction,
                      pack::PlanOptions& options);

// `--plan-only`: size and predicted loss over a sweep of budgets, as text or JSON.
Result<std::string> BudgetSweep(const BudgetCurves& known, bool json);

}  // namespace ingot::cli
