// What `ingot pack` says of the artifact it made.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <string>

#include "inspect/summary.h"
#include "jobs/pack_job.h"

namespace ingot::cli {

// `output`: the artifact's path; `seconds`: that it took. Of sizes, the base is the file that was
// read; of quality, what was measured or predicted, with its error, and what by. In lines of
// `columns`.
std::string PackReportText(const std::string& output, const inspect::Summary& summary,
                           const pack::PackReport& report, double seconds, std::size_t columns);
inspect::Json PackReportJson(const inspect::Summary& summary, const pack::PackReport& report,
                             double seconds);

}  // namespace ingot::cli
