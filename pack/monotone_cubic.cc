#include "pack/monotone_cubic.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace ingot::pack {
namespace {

double Sign(double v) { return v > 0 ? 1.0 : v < 0 ? -1.0 : 0.0; }

// The curve's slope at point i: the parabola's through its neighbours, held where it would
// overshoot; at an end the only chord's.
double SlopeAt(std::span<const double> x, std::span<const double> y, std::size_t i) {
  const auto chord = [&](std::size_t k) { return (y[k + 1] - y[k]) / (x[k + 1] - x[k]); };
  if (i == 0) return chord(0);
  if (i + 1 == x.size()) return chord(i - 1);
  const double left = chord(i - 1), right = chord(i);
  const double h0 = x[i] - x[i - 1], h1 = x[i + 1] - x[i];
  const double parabola = (left * h1 + right * h0) / (h0 + h1);
  return (Sign(left) + Sign(right)) *
         std::min({std::fabs(left), std::fabs(right), std::fabs(parabola) / 2});
}

}  // namespace

double MonotoneCubic(std::span<const double> x, std::span<const double> y, double at) {
  if (at <= x.front()) return y.front() + SlopeAt(x, y, 0) * (at - x.front());
  const std::size_t last = x.size() - 1;
  if (at >= x[last]) return y[last] + SlopeAt(x, y, last) * (at - x[last]);
  const auto above = std::upper_bound(x.begin(), x.end(), at);
  const auto i = static_cast<std::size_t>(above - x.begin()) - 1;
  const double h = x[i + 1] - x[i], t = at - x[i];
  const double chord = (y[i + 1] - y[i]) / h;
  const double s0 = SlopeAt(x, y, i), s1 = SlopeAt(x, y, i + 1);
  const double cubic = (s0 + s1 - 2 * chord) / (h * h);
  const double square = (3 * chord - 2 * s0 - s1) / h;
  return y[i] + t * (s0 + t * (square + t * cubic));
}

}  // namespace ingot::pack
