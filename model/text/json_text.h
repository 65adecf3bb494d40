// JSON of source models. Thread rule: pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/status.h"

namespace ingot::model {

// Parses one JSON document of a source model as Python's json module reads it (JsonDialect::kPython
// of untrusted/json_guard.h), within the limits there.
Result<nlohmann::json> ParseJson(std::string_view text);

}  // namespace ingot::model
