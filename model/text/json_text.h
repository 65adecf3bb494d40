// JSON from files that are not trusted: bounded depth, duplicate keys refused, errors with their
// byte.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/status.h"

namespace ingot::model {

// Deeper documents are refused before they are parsed: copying and printing a tree recurse.
inline constexpr std::size_t kMaxJsonDepth = 128;

// Parses one JSON document. Corruption names the byte: bad syntax, a key given twice in one object
// (nlohmann alone would keep one of the two silently), nesting deeper than kMaxJsonDepth, numbers
// out of double's range.
Result<nlohmann::json> ParseJson(std::string_view text);

// The same for what Python's json module writes: bare Infinity, -Infinity and NaN become
// {"__float__": "Infinity"} and so on, as transformers 5 writes them itself.
Result<nlohmann::json> ParsePythonJson(std::string_view text);

}  // namespace ingot::model
