// How many threads can work at once here: the cores that the process may run on, and no more than
// its control group pays for.
//
// Thread rule: pure functions of what the system says.
#pragma once

#include <cstddef>
#include <string>

namespace ingot::loader {

struct Processors {
  std::size_t logical = 1;   // that the scheduler lets us use
  std::size_t physical = 1;  // cores of these: two threads of one share what they compute with
  std::size_t quota = 0;     // of the control groups, rounded up; 0: none
  // Threads that are worth starting.
  std::size_t usable() const { return quota > 0 && quota < physical ? quota : physical; }
};

// `sys` is /sys, `cgroup` the process's folder under it or empty for its own; for tests.
Processors FindProcessors(const std::string& sys = "/sys", const std::string& cgroup = {});

}  // namespace ingot::loader
