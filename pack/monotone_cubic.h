// A smooth curve through measured points that never overshoots them (M. Steffen, "A simple method
// for monotonic interpolation in one dimension", A&A 239, 1990): between two points it stays
// between their values, so that a rising measurement gives a rising curve, which can be searched.
#pragma once

#include <span>

namespace ingot::pack {

// The curve's value at `at`; outside of the points a straight line goes on. REQUIRES: at least two
// points, `x` strictly ascending, as many `y`.
double MonotoneCubic(std::span<const double> x, std::span<const double> y, double at);

}  // namespace ingot::pack
