// What Git has in place of a large file that was not fetched.
#pragma once

#include <string_view>

namespace ingot::model {

inline constexpr std::string_view kLfsPointer = "version https://git-lfs.github.com/spec/";

}  // namespace ingot::model
