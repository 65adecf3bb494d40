// What the forward pass keeps of a stage: for each distinct input of its matrices the sum of outer
// products, of magnitudes, and the number of tokens.
//
// Sums are taken window by window in the order of windows, each matrix product by one thread in
// blocks of fixed size: results depend neither on threads nor on how many windows are held at once.
//
// Thread rule: belongs to one thread; Add is parallel inside.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "calibration/torch/torch_ops.h"

namespace ingot::calibration {

class StageSums {
 public:
  StageSums(const model::Architecture& architecture, std::size_t stage);

  // Adds windows' records, in order; takes their inputs.
  void Add(std::span<StageRecord> records);

  // Means over tokens, experts' fallbacks, damping where a mean of outer products is not positive
  // definite; then writes the part. Appends what people should know to `notes`. InvalidArgument
  // names a matrix whose input is not finite.
  Status Finish(const std::string& part, std::vector<std::string>& notes);

 private:
  struct Input {
    at::Tensor outer;      // n x n, the upper half in blocks of rows
    at::Tensor magnitude;  // n, float64
    std::uint64_t tokens = 0;
  };
  void AddOuter(std::span<StageRecord> records);
  Status Means();
  void PoolExperts(std::vector<std::string>& notes);
  void DampAll(std::vector<std::string>& notes);

  const model::Architecture* architecture_;
  std::size_t stage_;
  std::map<std::string, Input> inputs_;        // by key: the first matrix that reads it
  std::vector<std::string> order_;             // keys as they were first seen
  std::map<std::string, std::string> key_of_;  // matrix -> key
  std::map<std::string, std::vector<float>> coverage_;
};

}  // namespace ingot::calibration
