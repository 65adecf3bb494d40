#include "base/cpu.h"

#include <algorithm>
#include <cstdlib>

namespace ingot {
namespace {

Isa Detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
  if (avx512) return Isa::kAvx512;
  if (avx2) return Isa::kAvx2;
#endif
  return Isa::kScalar;
}

Isa Limited(Isa best) {
  const char* wanted = std::getenv("INGOT_ISA");
  if (wanted == nullptr) return best;
  const std::string_view name(wanted);
  for (const Isa isa : kIsas)
    if (name == IsaName(isa)) return std::min(isa, best);
  return best;
}

}  // namespace

Isa BestIsa() {
  static const Isa isa = Limited(Detect());
  return isa;
}

bool HasIsa(Isa isa) { return isa <= BestIsa(); }

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "?";
}

}  // namespace ingot
