// Pearson's correlation of two series.
//
// Thread rule: a pure function.
#pragma once

#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>

namespace ingot::jobs {

// 0 where one of them never changes. REQUIRES: as long as each other, not empty.
template <typename A, typename B>
double Correlation(std::span<const A> a, std::span<const B> b) {
  const auto n = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n;
  const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

}  // namespace ingot::jobs
