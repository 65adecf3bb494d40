// A pack's plan for people and for machines. Thread rule: pure functions.
#pragma once

#include <string>

#include "pack/plan.h"

namespace ingot::cli {

// "--dry-run": a line a tensor, then sums. Sizes are exact, or "at most" where streams are
// compressed;
// "+" marks streams whose length depends on the data.
std::string PlanText(const pack::PackPlan& plan);
pack::Json PlanJson(const pack::PackPlan& plan);

}  // namespace ingot::cli
