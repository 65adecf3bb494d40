// A pack's plan, and what budgets would give, for people and for machines. Thread rule: pure
// functions.
#pragma once

#include <string>
#include <vector>

#include "jobs/budget_search.h"
#include "jobs/pack_job.h"

namespace ingot::cli {

// "--dry-run": a line a tensor, then sums. Sizes are exact, or "about" where streams are compressed
// or bits are yet to be spent.
std::string PlanText(const jobs::PlanJobResult& result);
pack::Json PlanJson(const jobs::PlanJobResult& result);

// `--plan-only`: size and predicted loss, a line a budget.
std::string SweepText(const std::vector<jobs::BudgetPoint>& points);
pack::Json SweepJson(const std::vector<jobs::BudgetPoint>& points);

}  // namespace ingot::cli
