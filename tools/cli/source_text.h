// A source checkpoint's page, for `ingot inspect MODEL`. Thread rule: pure functions.
#pragma once

#include <string>

#include "pack/source_summary.h"

namespace ingot::cli {

// Without `with_tensors` the groups of vectors are one line.
std::string SourceText(const pack::SourceSummary& summary, bool with_tensors);

}  // namespace ingot::cli
