// A model's weights in the device's memory: int, fp8, float and sparse planes as they are stored,
// with the input transforms that activations take; matrices of other planes, and tables with
// transforms, decoded to float32.
//
// Thread rule: filled by one thread, then immutable; vectors are copied when first asked for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/status.h"
#include "loader/cuda/device_memory.h"
#include "loader/cuda/kernels/plane_kernels.h"
#include "loader/weights/resident.h"

namespace ingot::cuda {

// An input transform's tables: channel scales, or a Hadamard rotation.
struct DeviceTransform {
  DeviceBlock scales;         // of a channel scale: cols
  DeviceBlock signs, matrix;  // of a rotation, as HadamardArgs takes them
  int odd = 0, chunk = 0;
};

struct DeviceMatrix {
  int rows = 0, cols = 0;
  // What turns the inputs, the first one first.
  std::vector<const DeviceTransform*> transforms;
  std::vector<DevicePlane> planes;
  std::vector<DeviceBlock> blocks;  // what planes point into

  // The planes from row `first` on.
  std::vector<DevicePlane> From(std::uint64_t first) const;
};

class DeviceWeights {
 public:
  // Matrices whose rows are asked for.
  using Tables = std::set<const loader::ResidentMatrix*>;

  // The weights must outlive this. Errors name the matrix.
  static Result<std::unique_ptr<DeviceWeights>> Make(const loader::WeightSet& weights,
                                                     const Tables& tables, DevicePool& pool);
  // Bytes that Make will take, transforms apart.
  static std::uint64_t BytesOf(const loader::WeightSet& weights, const Tables& tables);

  const DeviceMatrix& Of(const loader::ResidentMatrix& matrix) const {
    return *matrices_.at(&matrix);
  }
  // The host's values, which never change.
  Result<const float*> Vector(const float* values, std::size_t count);

 private:
  explicit DeviceWeights(DevicePool& pool) : pool_(&pool) {}
  Result<const DeviceTransform*> Transform(const codecs::PlaneView& view,
                                           const codecs::InputTransform& transform);
  DevicePool* pool_;
  std::map<const loader::ResidentMatrix*, std::unique_ptr<DeviceMatrix>> matrices_;
  std::map<const codecs::InputTransform*, DeviceTransform> transforms_;
  std::map<std::pair<const float*, std::size_t>, DeviceBlock> vectors_;
};

}  // namespace ingot::cuda
