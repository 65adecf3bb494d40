// Activations on the device.
//
// Thread rule: as device_memory.h.
#pragma once

#include <cstddef>
#include <utility>

#include "loader/cuda/device_memory.h"

namespace ingot::cuda {

// rows x cols float32 on the device, row-major.
class DeviceTensor {
 public:
  DeviceTensor() = default;
  DeviceTensor(DeviceBlock block, std::size_t rows, std::size_t cols)
      : block_(std::move(block)), rows_(rows), cols_(cols) {}
  float* data() const { return block_.as<float>(); }
  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  std::size_t size() const { return rows_ * cols_; }

 private:
  DeviceBlock block_;
  std::size_t rows_ = 0, cols_ = 0;
};

}  // namespace ingot::cuda
