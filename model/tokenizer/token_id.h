// The number of a token in its vocabulary.
#pragma once

#include <cstdint>

namespace ingot::model {

using TokenId = std::int32_t;

}  // namespace ingot::model
