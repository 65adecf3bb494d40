// What the threads that work now can do at most, measured: how fast they read memory, and how many
// products they make a second. What a speed is held against, in the same run.
//
// Thread rule: uses all threads of ParallelFor; call from one thread, with nothing else running.
#pragma once

#include <cstddef>
#include <string_view>

namespace ingot::loader {

struct MachineLimits {
  std::size_t threads = 0;
  std::string_view isa;
  double read_bytes = 0;      // a second, from memory
  double float_products = 0;  // multiply-adds a second, in registers
  double int8_products = 0;
  double bf16_products = 0;  // 0: no such instruction
};

// Medians of `runs` short measurements of each, about 20 ms apiece. REQUIRES: runs > 0.
MachineLimits MeasureLimits(std::size_t runs = 5);

}  // namespace ingot::loader
