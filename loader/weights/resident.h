// Weights as kernels see them: planes in memory, mapped from an artifact where they can be used in
// place, decoded where they cannot, or the source checkpoint's own tensors as one raw plane.
//
// Thread rule: immutable once loaded.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/reader.h"
#include "base/bytes.h"
#include "base/status.h"
#include "codecs/plane.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::loader {

// One matrix (a vector is 1 x n) with its planes. Views point into `backing` or into a mapping that
// the WeightSet keeps alive.
struct ResidentMatrix {
  std::string name;
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::vector<codecs::PlaneSpec> specs;
  std::vector<codecs::PlaneView> planes;  // planes[i].spec == &specs[i]
  // What kernels derive once at load (row offsets of sparse planes, scales as float, ...); owned by
  // the kernel row that made it, indexed as planes.
  std::vector<std::shared_ptr<const void>> prepared;
  std::vector<artifact::StreamBytes> backing;

  ResidentMatrix() = default;
  ResidentMatrix(const ResidentMatrix&) = delete;
  ResidentMatrix& operator=(const ResidentMatrix&) = delete;
};

// All weights of a model, by tensor name.
class WeightSet {
 public:
  virtual ~WeightSet() = default;

  // Verifies, maps or decodes every stream in parallel, validates every plane. `levels` < 0: all
  // that the file has. Errors name the tensor.
  static Result<std::unique_ptr<WeightSet>> FromArtifact(
      std::shared_ptr<const artifact::ArtifactReader> reader, int levels);
  // The source's own weights, mapped where their layout allows; transposed uses are transposed
  // here.
  static Result<std::unique_ptr<WeightSet>> FromCheckpoint(
      std::shared_ptr<const model::Checkpoint> checkpoint, const model::Architecture& architecture);

  virtual const ResidentMatrix* Find(std::string_view name) const = 0;
  virtual std::uint64_t resident_bytes() const = 0;  // bytes kept for weights, mapped ones included
};

}  // namespace ingot::loader
