#include "loader/kernels/rate_kernels.h"

namespace ingot::loader {

bool HasBf16() {
#if defined(__x86_64__)
  static const bool has = HasIsa(Isa::kAvx512) && __builtin_cpu_supports("avx512bf16");
  return has;
#else
  return false;
#endif
}

}  // namespace ingot::loader
