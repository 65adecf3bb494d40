// A model's weights in the device's memory: int, fp8, float and sparse planes as they are stored,
// matrices of other planes (or with input transforms) decoded to float32.
//
// Thread rule: filled by one thread, then immutable; vectors are copied when first asked for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/status.h"
#include "loader/cuda/device_memory.h"
#include "loader/cuda/kernels/plane_kernels.h"
#include "loader/weights/resident.h"

namespace ingot::cuda {

struct DeviceMatrix {
  int rows = 0, cols = 0;
  std::vector<DevicePlane> planes;
  std::vector<DeviceBlock> blocks;  // what planes point into

  // The planes from row `first` on.
  std::vector<DevicePlane> From(std::uint64_t first) const;
};

class DeviceWeights {
 public:
  // The weights must outlive this. Errors name the matrix.
  static Result<std::unique_ptr<DeviceWeights>> Make(const loader::WeightSet& weights,
                                                     DevicePool& pool);
  // Bytes that Make will take.
  static std::uint64_t BytesOf(const loader::WeightSet& weights);

  const DeviceMatrix& Of(const loader::ResidentMatrix& matrix) const {
    return *matrices_.at(&matrix);
  }
  // The host's values, which never change.
  Result<const float*> Vector(const float* values, std::size_t count);

 private:
  explicit DeviceWeights(DevicePool& pool) : pool_(&pool) {}
  DevicePool* pool_;
  std::map<const loader::ResidentMatrix*, std::unique_ptr<DeviceMatrix>> matrices_;
  std::map<std::pair<const float*, std::size_t>, DeviceBlock> vectors_;
};

}  // namespace ingot::cuda
