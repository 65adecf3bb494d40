// JSON from files that nobody vouches for: the one way any of it becomes a document. UTF-8 without
// a byte order mark, ending where the bytes end; bounded depth, number of values and length of
// strings; no key twice in one object; errors name their byte.
//
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/status.h"

namespace ingot::untrusted {

struct JsonLimits {
  std::size_t depth = 128;                        // copying and printing a tree recurse
  std::uint64_t values = std::uint64_t{1} << 24;  // each key, scalar, object and array counts one
  std::size_t string_bytes = std::size_t{64} << 20;
};

// One document, with nothing but white space around it. Corruption: bad syntax, a NUL, a byte order
// mark, a key given twice (nlohmann alone would keep one of the two silently), too deep, a number
// out of double's range. Limit: too many values, too long a string.
Result<nlohmann::json> ParseJson(std::string_view text, const JsonLimits& limits);

}  // namespace ingot::untrusted
