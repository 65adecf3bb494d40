// The clock that steps are measured by.
//
// Thread rule: a pure function.
#pragma once

#include <chrono>

namespace ingot::loader {

using Clock = std::chrono::steady_clock;

inline double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace ingot::loader
