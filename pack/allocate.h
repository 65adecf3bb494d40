// From a budget to a recipe for every matrix: candidates are tried on a sample of each matrix's
// rows, priced by the loss that the statistics predict, and chosen by calibration/allocation.h.
//
// Thread rule: functions share nothing but the thread pool; results do not depend on it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "calibration/allocation.h"
#include "model/source/checkpoint.h"
#include "pack/plan.h"

namespace ingot::pack {

// What a matrix may become and what that is predicted to cost.
struct TensorCurve {
  std::string tensor;
  model::TensorRole role = model::TensorRole::kLinear;
  std::uint64_t weights = 0;
  std::vector<codecs::RecipeOptions> recipes;
  calibration::Candidates candidates;  // parallel to recipes
};

// The recipes that allocation chooses among for --codec (Recipe::ladder): the rungs of its ladder
// of bits with the given group and transform, or a grid of steps for a model of `weights` weights.
// InvalidArgument for a codec without a ladder.
Result<std::vector<codecs::RecipeOptions>> Ladder(const codecs::RecipeOptions& codec,
                                                  double weights);

// Curves over the ladder of `codec` for the plan's matrices that have statistics, except those that
// a rule names. As many are tried at once as `memory_bytes`, the process's most, has room for:
// Limit where there is none for one (says what is enough). REQUIRES: plan.statistics. `progress`
// is told after each, a call at a time; may be empty. An error that it returns ends the measuring.
Result<std::vector<TensorCurve>> MeasureCurves(
    const model::Checkpoint& checkpoint, const PackPlan& plan, const codecs::RecipeOptions& codec,
    std::uint64_t memory_bytes,
    const std::function<Status(std::size_t done, std::size_t total)>& progress);

struct Budget {
  enum class Kind {
    kLinearBits,  // stored bits per linear weight; other matrices at the same price per byte
    kBytes,       // stored bytes of all matrices
    kKl,          // predicted loss, nats a token
  };
  Kind kind = Kind::kLinearBits;
  double value = 0;
};

struct Assignment {
  std::vector<codecs::RecipeOptions> recipes;  // parallel to the curves
  double linear_bytes = 0;                     // estimates
  double bytes = 0;
  double predicted_loss = 0;  // nats a token: the KL divergence to expect
};

// InvalidArgument where the budget cannot be met; says what can. REQUIRES: curves of one ladder.
Result<Assignment> Assign(const std::vector<TensorCurve>& curves, const Budget& budget);

}  // namespace ingot::pack
