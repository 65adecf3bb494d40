// Statistics made up for a model: inputs and gradients of normal noise.
#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "calibration/statistics.h"
#include "calibration/statistics_writer.h"
#include "model/source/checkpoint.h"

namespace ingot::pack {

// Of every matrix but the embedding.
inline Status WriteMadeStatistics(const model::Checkpoint& checkpoint,
                                  const std::string& fingerprint, const std::string& path) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> values;
  std::vector<calibration::StatisticsTensor> tensors;
  values.reserve(1000);
  for (const model::TensorInfo& tensor : checkpoint.tensors()) {
    if (tensor.shape.size() != 2 || tensor.name.find("embed") != std::string::npos) continue;
    const std::size_t n = tensor.cols();
    std::vector<float> x(n * 2 * n), h(n * n), fisher(tensor.rows());
    for (float& v : x) v = normal(random);
    for (std::size_t t = 0; t < 2 * n; ++t)
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
          h[i * n + j] += x[t * n + i] * x[t * n + j] / static_cast<float>(2 * n);
    for (float& g : fisher) g = 1e-4f * std::exp(normal(random));
    values.push_back(std::move(h));
    tensors.push_back({"hessian/" + tensor.name, {n, n}, values.back()});
    values.push_back(std::move(fisher));
    tensors.push_back({"fisher/" + tensor.name, {tensor.rows()}, values.back()});
  }
  return calibration::WriteStatistics(path,
                                      {{"format", std::string(calibration::kStatisticsFormat)},
                                       {"model", fingerprint},
                                       {"inputs", "{}"}},
                                      tensors);
}

}  // namespace ingot::pack
