#include "jobs/ridge.h"

#include <cmath>

#include "base/parallel.h"
#include "base/status.h"

namespace ingot::jobs {
namespace {

// Solves A x = b in place of b. `a` is positive definite, its lower half row-major; it is
// destroyed.
void SolveCholesky(std::vector<double>& a, std::vector<double>& b) {
  const std::size_t n = b.size();
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t k = 0; k < j; ++k) a[j * n + j] -= a[j * n + k] * a[j * n + k];
    a[j * n + j] = std::sqrt(a[j * n + j]);
    ParallelFor(n - j - 1, 64, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = j + 1 + begin; i < j + 1 + end; ++i) {
        double sum = a[i * n + j];
        for (std::size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
        a[i * n + j] = sum / a[j * n + j];
      }
    });
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
}

}  // namespace

std::vector<double> FitRidge(std::span<const float> examples, std::span<const float> targets,
                             std::size_t width, double ridge) {
  const std::size_t count = targets.size(), n = width - 1;
  INGOT_CHECK(count > 0 && examples.size() == count * width && ridge > 0);
  const auto number = static_cast<double>(count);
  std::vector<double> mean(n), size(n);
  double target_mean = 0;
  for (std::size_t e = 0; e < count; ++e) {
    target_mean += targets[e] / number;
    for (std::size_t i = 0; i < n; ++i) mean[i] += examples[e * width + 1 + i] / number;
  }
  for (std::size_t e = 0; e < count; ++e)
    for (std::size_t i = 0; i < n; ++i) {
      const double off = examples[e * width + 1 + i] - mean[i];
      size[i] += off * off / number;
    }
  for (double& s : size) s = s > 1e-20 ? 1 / std::sqrt(s) : 0;
  std::vector<double> scaled(count * n), gram(n * n), weights(n);
  for (std::size_t e = 0; e < count; ++e)
    for (std::size_t i = 0; i < n; ++i)
      scaled[i * count + e] = (examples[e * width + 1 + i] - mean[i]) * size[i];
  ParallelFor(n, 8, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const double* a = &scaled[i * count];
      for (std::size_t j = 0; j <= i; ++j) {
        const double* b = &scaled[j * count];
        double sum = 0;
        for (std::size_t e = 0; e < count; ++e) sum += a[e] * b[e];
        gram[i * n + j] = sum;
      }
      gram[i * n + i] += ridge * number;
      for (std::size_t e = 0; e < count; ++e) weights[i] += a[e] * (targets[e] - target_mean);
    }
  });
  SolveCholesky(gram, weights);
  std::vector<double> result = {target_mean};
  for (std::size_t i = 0; i < n; ++i) {
    result.push_back(weights[i] * size[i]);
    result[0] -= result.back() * mean[i];
  }
  return result;
}

}  // namespace ingot::jobs
