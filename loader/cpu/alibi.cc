#include "loader/cpu/alibi.h"

#include <bit>
#include <cmath>

#include "base/float_formats.h"

namespace ingot::loader {

float AlibiSlope(std::size_t head, std::size_t heads) {
  const std::size_t power = std::bit_floor(heads);
  const double base = std::exp2(-8.0 / static_cast<double>(power));
  if (head < power) return static_cast<float>(std::pow(base, static_cast<double>(head + 1)));
  const double extra = std::exp2(-4.0 / static_cast<double>(power));
  return static_cast<float>(std::pow(extra, static_cast<double>(2 * (head - power) + 1)));
}

void RoundedAlibi::Prepare(std::size_t heads, double scale, std::uint64_t positions) {
  if (heads != biases_.size() || scale != scale_) biases_.assign(heads, {});
  scale_ = scale;
  for (std::size_t head = 0; head < heads; ++head) {
    const float slope = FromBf16(ToBf16(AlibiSlope(head, heads)));
    std::vector<float>& row = biases_[head];
    row.reserve(positions);
    while (row.size() < positions) {
      const float position = FromBf16(ToBf16(static_cast<float>(row.size())));
      row.push_back(FromBf16(ToBf16(slope * position)) * static_cast<float>(scale));
    }
  }
}

}  // namespace ingot::loader
