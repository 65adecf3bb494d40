// A pack's plan, and what budgets would give, for people and for machines. Thread rule: pure
// functions.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "jobs/budget_search.h"
#include "jobs/pack_job.h"

namespace ingot::cli {

// "--dry-run": a line for tensors of one making whose names differ in numbers alone, then sums.
// Sizes are exact, or "about" where streams are compressed or bits are yet to be spent.
std::string PlanText(const jobs::PlanJobResult& result, std::size_t columns);
pack::Json PlanJson(const jobs::PlanJobResult& result);

// `--plan-only`: size and predicted loss, a line a budget.
std::string SweepText(const std::vector<jobs::BudgetPoint>& points, std::size_t columns);
pack::Json SweepJson(const std::vector<jobs::BudgetPoint>& points);

}  // namespace ingot::cli
