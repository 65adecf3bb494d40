// How a statistics file says what it holds. Metadata of files that this version writes:
// BLAKE3-256, 64 digits, of the header with kNoDigest in its place and of all that follows. Older
// files have none, and are read without that check.
//
// Thread rule: constants.
#pragma once

#include <string_view>

namespace ingot::calibration {

inline constexpr const char* kContentDigest = "content_digest";
inline constexpr std::string_view kNoDigest =
    "0000000000000000000000000000000000000000000000000000000000000000";

}  // namespace ingot::calibration
