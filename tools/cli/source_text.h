// A source checkpoint's page, for `ingot inspect MODEL`. Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <string>

#include "pack/source_summary.h"

namespace ingot::cli {

// Without `with_tensors` the groups of vectors are one line. In lines of `columns`.
std::string SourceText(const pack::SourceSummary& summary, bool with_tensors, std::size_t columns);

}  // namespace ingot::cli
