// JSON from files that nobody vouches for: the one way any of it becomes a document. UTF-8 without
// a byte order mark, ending where the bytes end; bounded depth, number of values and length of
// strings; errors name their byte. In our own formats no key stands twice in one object; files
// that Python writes and reads are read as its json does.
//
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "base/status.h"

namespace ingot::untrusted {

enum class JsonDialect {
  kStrict,  // RFC 8259, and a key given twice is refused
  // Of a key given twice the last counts. NaN, Infinity and -Infinity, which JSON does not have,
  // become {"__float__": "Infinity"} and so on, as transformers 5 writes them itself: where a number
  // matters they are none.
  kPython,
};

struct JsonLimits {
  std::size_t depth = 128;                        // copying and printing a tree recurse
  std::uint64_t values = std::uint64_t{1} << 24;  // each key, scalar, object and array counts one
  std::size_t string_bytes = std::size_t{64} << 20;
  JsonDialect dialect = JsonDialect::kStrict;
};

// One document, with nothing but white space around it. Corruption: bad syntax, a NUL, a byte order
// mark, in the strict dialect a key given twice, too deep, a number out of double's range. Limit:
// too many values, too long a string.
Result<nlohmann::json> ParseJson(std::string_view text, const JsonLimits& limits);

// "NaN", "Infinity" or "-Infinity", where the value is what Python's dialect makes of one.
std::optional<std::string_view> NonFiniteOf(const nlohmann::json& value);

}  // namespace ingot::untrusted
