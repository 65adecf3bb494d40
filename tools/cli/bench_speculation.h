// `ingot bench --speculate`: what speculation gives on a text.
#pragma once

#include <map>
#include <string>

#include "base/status.h"
#include "inspect/summary.h"
#include "jobs/speculation_bench.h"
#include "loader/speculate/speculation.h"

namespace ingot::cli {

// What the command line calls the modes.
const std::map<std::string, loader::SpeculationOptions::Mode>& SpeculationModes();

inspect::Json SpeculationJson(const jobs::SpeculationBenchResult& result);
void PrintSpeculationTable(const jobs::SpeculationBenchResult& result);
// Corruption where a continuation was not the plain one.
Status CheckSame(const jobs::SpeculationBenchResult& result);

}  // namespace ingot::cli
