#include <numeric>

#include "loader/kernels/int_matvec.h"

namespace ingot::loader {

std::size_t IntSpan(const PlaneOperand& plane) {
  if (!plane.whole_levels()) return 0;
  if (plane.groups <= 1) return kScaleInputs;
  const std::uint64_t span = std::gcd(plane.group, std::uint64_t{kScaleInputs});
  return span < kLaneInputs ? 0 : span;
}

}  // namespace ingot::loader
