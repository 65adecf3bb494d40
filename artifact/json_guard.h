// A look at hostile JSON before a document is built from it: well-formed UTF-8 and JSON, bounded
// depth, bounded number of values, no key twice in one object.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string_view>

#include "artifact/manifest.h"
#include "base/status.h"

namespace ingot::artifact {

inline constexpr int kMaxJsonDepth = 64;

// Parses text after those checks. Corruption with the byte offset, Limit for depth and count.
Result<Json> ParseGuardedJson(std::string_view text, std::uint64_t max_values);

}  // namespace ingot::artifact
