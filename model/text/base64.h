// Base64 (RFC 4648). Thread rule: functions without state.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace ingot::model {

// What padded base64 stands for. Corruption where it is none.
Result<std::string> DecodeBase64(std::string_view text);

}  // namespace ingot::model
