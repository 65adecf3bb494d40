// Weights as kernels see them: planes in memory, mapped from an artifact where they can be used in
// place, decoded where they cannot, or the source checkpoint's own tensors as one raw plane.
//
// Thread rule: filled by one thread, then immutable.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "artifact/reader.h"
#include "base/status.h"
#include "loader/planes/prepared_plane.h"
#include "model/architecture/architecture.h"
#include "model/forward/batch.h"
#include "model/source/checkpoint.h"
#include "stored/selection.h"
#include "stored/tensor_planes.h"

namespace ingot::loader {

// One matrix (a vector is 1 x n) with its planes. Views point into `backing` or into a mapping that
// the WeightSet keeps alive.
struct ResidentMatrix : stored::TensorPlanes {
  std::string name;
  // What kernels derive from each plane once, at load.
  std::vector<std::shared_ptr<const PreparedPlane>> prepared;
  std::uint64_t row_block = 1;  // rows that only come decoded together
  // Planes that a token of each class meets, transforms not counted.
  std::array<std::uint32_t, model::kTokenClasses> planes_by_class = {
      model::kAllPlanes, model::kAllPlanes, model::kAllPlanes, model::kAllPlanes};

  ResidentMatrix() = default;
  ResidentMatrix(std::string name_of, stored::TensorPlanes of)
      : TensorPlanes(std::move(of)), name(std::move(name_of)) {}
  ResidentMatrix(const ResidentMatrix&) = delete;
  ResidentMatrix& operator=(const ResidentMatrix&) = delete;
};

// Prepares every plane for the kernels. REQUIRES: planes validated; they do not change afterwards.
Status PrepareMatrix(ResidentMatrix& matrix);

// REQUIRES: PrepareMatrix was called.
inline const PreparedPlane& Prepared(const ResidentMatrix& matrix, std::size_t plane) {
  return *matrix.prepared[plane];
}

// All weights of a model, by tensor name.
class WeightSet {
 public:
  // `owner` keeps mapped bytes alive as long as this.
  explicit WeightSet(std::shared_ptr<const void> owner) : owner_(std::move(owner)) {}

  // Verifies, maps or decodes every selected stream in parallel, validates every plane. Errors name
  // the tensor.
  static Result<std::unique_ptr<WeightSet>> FromArtifact(
      std::shared_ptr<const artifact::ArtifactReader> reader, const stored::Selection& selection);
  // The source's own weights, mapped where their layout allows; transposed uses are transposed
  // here.
  static Result<std::unique_ptr<WeightSet>> FromCheckpoint(
      std::shared_ptr<const model::Checkpoint> checkpoint, const model::Architecture& architecture);
  // Only those.
  static Result<std::unique_ptr<WeightSet>> FromCheckpoint(
      std::shared_ptr<const model::Checkpoint> checkpoint,
      std::span<const model::TensorUse> uses);

  // REQUIRES: the matrix is prepared and its name new.
  void Add(std::unique_ptr<ResidentMatrix> matrix);

  const ResidentMatrix* Find(std::string_view name) const;
  // In the order of their names.
  void ForEach(const std::function<void(const ResidentMatrix& matrix)>& visit) const {
    for (const auto& [name, matrix] : matrices_) visit(*matrix);
  }
  std::uint64_t resident_bytes() const { return resident_bytes_; }  // mapped ones included

 private:
  std::shared_ptr<const void> owner_;
  std::map<std::string, std::unique_ptr<ResidentMatrix>, std::less<>> matrices_;
  std::uint64_t resident_bytes_ = 0;
};

}  // namespace ingot::loader
