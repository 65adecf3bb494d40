// A pack's plan, and what budgets would give, for people and for machines. Thread rule: pure
// functions.
#pragma once

#include <string>
#include <vector>

#include "jobs/budget_search.h"
#include "pack/plan.h"

namespace ingot::cli {

// "--dry-run": a line a tensor, then sums. Sizes are exact, or "at most" where streams are
// compressed;
// "+" marks streams whose length depends on the data.
std::string PlanText(const pack::PackPlan& plan);
pack::Json PlanJson(const pack::PackPlan& plan);

// `--plan-only`: size and predicted loss, a line a budget.
std::string SweepText(const std::vector<jobs::BudgetPoint>& points);
pack::Json SweepJson(const std::vector<jobs::BudgetPoint>& points);

}  // namespace ingot::cli
