#include "model/forward/position_terms.h"

#include <bit>
#include <cmath>

#include "base/float_formats.h"

namespace ingot::model {

bool UsesLongFrequencies(const RopeSpec& spec, std::uint64_t sequence_length) {
  return !spec.long_inv_freq.empty() && sequence_length > spec.switch_length;
}

bool DependsOnLength(const RopeSpec& spec) {
  return spec.dynamic_factor > 0 || !spec.long_inv_freq.empty();
}

std::vector<float> RopeFrequencies(const RopeSpec& spec, std::uint64_t sequence_length) {
  const bool is_long = UsesLongFrequencies(spec, sequence_length);
  const std::vector<double>& source = is_long ? spec.long_inv_freq : spec.inv_freq;
  std::vector<float> result(source.begin(), source.end());
  if (spec.dynamic_factor > 0 && sequence_length > spec.switch_length && spec.dims > 2) {
    const double growth = spec.dynamic_factor * static_cast<double>(sequence_length) /
                              static_cast<double>(spec.switch_length) -
                          (spec.dynamic_factor - 1);
    for (std::size_t i = 0; i < result.size(); ++i)
      result[i] =
          static_cast<float>(source[i] * std::pow(growth, -2.0 * static_cast<double>(i) /
                                                              static_cast<double>(spec.dims - 2)));
  }
  return result;
}

void RopeRow(const RopeSpec& spec, const std::vector<float>& frequencies, std::uint64_t position,
             float* row) {
  const std::size_t half = spec.dims / 2;
  for (std::size_t i = 0; i < half; ++i) {
    // The angle is rounded to float32 first: that is where the reference's rounding lies.
    const double angle = static_cast<float>(position) * frequencies[i];
    row[i] = static_cast<float>(std::cos(angle) * spec.attention_factor);
    row[half + i] = static_cast<float>(std::sin(angle) * spec.attention_factor);
  }
}

float AlibiSlope(std::size_t head, std::size_t heads) {
  const std::size_t power = std::bit_floor(heads);
  // Beyond a power of two, every other slope of twice as many heads.
  const double steps = head < power ? 8.0 * static_cast<double>(head + 1)
                                    : 4.0 * static_cast<double>(2 * (head - power) + 1);
  return static_cast<float>(std::exp2(-steps / static_cast<double>(power)));
}

float RoundedAlibiBias(float slope, std::uint64_t position) {
  const float rounded = FromBf16(ToBf16(static_cast<float>(position)));
  return FromBf16(ToBf16(FromBf16(ToBf16(slope)) * rounded));
}

}  // namespace ingot::model
