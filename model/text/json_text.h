// JSON of source models, that of Python's json module too. Thread rule: pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/status.h"

namespace ingot::model {

// Parses one JSON document of a source model, within the limits of untrusted/json_guard.h.
Result<nlohmann::json> ParseJson(std::string_view text);

// The same for what Python's json module writes: bare Infinity, -Infinity and NaN become
// {"__float__": "Infinity"} and so on, as transformers 5 writes them itself.
Result<nlohmann::json> ParsePythonJson(std::string_view text);

}  // namespace ingot::model
