// A budget of a pack (bits per linear weight, bytes, divergence) as a codec for every matrix.
//
// Thread rule: functions without state; matrices are tried in parallel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "codecs/recipe.h"
#include "jobs/job.h"
#include "model/source/checkpoint.h"
#include "pack/allocate.h"
#include "pack/plan.h"

namespace ingot::jobs {

// One of the three, or none.
struct BudgetGoal {
  double bits = 0;               // stored, per linear weight
  std::uint64_t size_bytes = 0;  // of the file
  std::string size_text;         // as it was given ("2GiB"), for the manifest; empty: no size
  double max_kl = 0;             // nats a token
  std::string codec;             // whose ladder, where the recipe names none
  bool given() const { return bits > 0 || !size_text.empty() || max_kl > 0; }
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
                                   const pack::PlanOptions& options, const Monitor& monitor);

// Chooses by the budget, into options.chosen and options.allocation. `correction`: what measured
// divergence was over the predicted loss, where that is known. InvalidArgument for more than one
// budget and for one that cannot be met.
Status ChooseByBudget(const BudgetCurves& known, const BudgetGoal& budget, double correction,
                      pack::PlanOptions& options);

struct BudgetPoint {
  double linear_bits = 0;
  double linear_bytes = 0;
  double file_bytes = 0;  // about
  double predicted_loss = 0;
};
// Size and predicted loss over a sweep of budgets, those that the ladder can meet.
std::vector<BudgetPoint> SweepBudget(const BudgetCurves& known);

}  // namespace ingot::jobs
