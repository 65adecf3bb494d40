// Hessians and naive references that the tests of guided rounding share.
#pragma once

#include <cmath>
#include <vector>

#include "base/random.h"
#include "codecs/rounding/guide.h"

namespace ingot::codecs {

// E[x xᵀ] of `tokens` inputs that vary together: x = A z with a few strong directions, each channel
// with its own magnitude. Positive semidefinite; singular where tokens < cols.
inline std::vector<float> SampleHessian(std::uint64_t cols, std::uint64_t tokens,
                                        std::uint64_t seed) {
  Random random(seed);
  const std::uint64_t hidden = 1 + cols / 4;
  std::vector<double> mix(cols * hidden), scale(cols), h(cols * cols), z(hidden), x(cols);
  for (double& m : mix) m = random.Normal() / std::sqrt(static_cast<double>(hidden));
  for (double& s : scale) s = std::exp(random.Normal());
  for (std::uint64_t t = 0; t < tokens; ++t) {
    for (double& v : z) v = random.Normal();
    for (std::uint64_t i = 0; i < cols; ++i) {
      x[i] = 0.5 * random.Normal();
      for (std::uint64_t k = 0; k < hidden; ++k) x[i] += mix[i * hidden + k] * z[k];
      x[i] *= scale[i];
    }
    for (std::uint64_t i = 0; i < cols; ++i)
      for (std::uint64_t j = 0; j < cols; ++j) h[i * cols + j] += x[i] * x[j];
  }
  std::vector<float> out(h.size());
  for (std::size_t i = 0; i < h.size(); ++i)
    out[i] = static_cast<float>(h[i] / static_cast<double>(tokens));
  for (std::uint64_t i = 0; i < cols; ++i)
    for (std::uint64_t j = 0; j < i; ++j) out[i * cols + j] = out[j * cols + i];
  return out;
}

// d H dᵀ of one row.
inline double QuadraticForm(const std::vector<float>& h, const std::vector<double>& d) {
  const std::size_t n = d.size();
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) sum += d[i] * h[i * n + j] * d[j];
  return sum;
}

}  // namespace ingot::codecs
