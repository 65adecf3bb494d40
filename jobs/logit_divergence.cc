#include "jobs/logit_divergence.h"

#include <algorithm>
#include <cmath>

#include "loader/kernels/vector_kernels.h"

namespace ingot::jobs {

double Divergence(const float* a, const float* b, std::size_t n) {
  const loader::VectorKernels& kernels = loader::kVectorKernels.Best();
  const loader::LogitStats of_a = kernels.logit_stats(a, n), of_b = kernels.logit_stats(b, n);
  return kernels.weighted_difference(a, of_a.max, b, n) / of_a.sum_exp -
         (of_a.max + std::log(of_a.sum_exp)) + (of_b.max + std::log(of_b.sum_exp));
}

double LogDivergence(const float* a, const float* b, std::size_t n) {
  constexpr double kLeast = 1e-6;
  return std::log(std::max(Divergence(a, b, n), kLeast));
}

}  // namespace ingot::jobs
