// A pack to a target, a codec or a budget, measured and tuned where that is asked for; its plan
// alone; and what budgets would give.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/status.h"
#include "jobs/budget_search.h"
#include "jobs/job.h"
#include "jobs/pack_options.h"
#include "pack/pipeline.h"
#include "pack/plan.h"

namespace ingot::jobs {

struct PackJobResult {
  pack::PackReport report;  // of the last pack; of the untuned artifact where it was tuned
  pack::Json measured;      // null where nothing was measured
  int packs = 0;            // more than one where a measured --max-kl was first missed
};

// Where a measured max_kl is to be kept, the prediction is corrected by what was measured and
// packed again, five times at most: then Limit. Cancelled, it leaves the spool, from which the same
// job resumes. Errors are those of the parts as they are; notes tensors that are left out and packs
// that are repeated, warns of tensors that are kept although not finite.
Result<PackJobResult> RunPackJob(const PackJobOptions& options, const Monitor& monitor);

struct PlanJobResult {
  pack::PackPlan plan;
  std::vector<std::uint64_t> bytes;  // of each tensor in the file; about, where not all is exact
  double overhead_bytes = 0;         // of the file beside them, about
  // Statistics would be taken first: what that takes, where it is this program's work, and bits of
  // a linear weight that they would spend (0: codecs say what they take).
  bool unlearned = false;
  std::optional<CalibrationPlan> learning;
  double learned_bits = 0;
};

// What RunPackJob would do, without learning, measuring or tuning. Writes nothing.
Result<PlanJobResult> RunPlanJob(const PackJobOptions& options, const Monitor& monitor);

// Size and predicted loss over budgets. InvalidArgument without statistics.
Result<std::vector<BudgetPoint>> RunSweepJob(const PackJobOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
