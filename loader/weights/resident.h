// Weights as kernels see them: planes in memory, mapped from an artifact where they can be used in
// place, decoded where they cannot, or the source checkpoint's own tensors as one raw plane.
//
// Thread rule: filled by one thread, then immutable, but for planes that are read at their first
// use, which come once, whatever threads ask for them, and for TakePlanes between steps.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
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

// When an artifact's weights are read, verified and made ready for the kernels.
enum class Verify {
  kEager,  // all of them before the model opens
  kLazy,   // those of a matrix before a product first meets it
};

// The planes of a matrix under Verify::kLazy.
struct LatePlanes {
  std::function<Status()> read;   // puts them into the matrix; threads may call it at once
  std::atomic<bool> here{false};  // set last
  std::mutex putting;             // held while the matrix changes, not while bytes are read
};

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
  std::unique_ptr<LatePlanes> late;  // null under Verify::kEager

  ResidentMatrix() = default;
  ResidentMatrix(std::string name_of, stored::TensorPlanes of)
      : TensorPlanes(std::move(of)), name(std::move(name_of)) {}
  ResidentMatrix(const ResidentMatrix&) = delete;
  ResidentMatrix& operator=(const ResidentMatrix&) = delete;

  // Takes another reading's planes of the same matrix in the place of its own. Views that the
  // backings of own planes kept end.
  void TakePlanes(ResidentMatrix&& read);
  // Whether the planes are here. Until then the matrix has its shape alone.
  bool here() const { return late == nullptr || late->here.load(std::memory_order_acquire); }
  // Reads and verifies them unless they are. Errors name tensor, plane, stream and chunk,
  // as opening the model would have; the next call tries again.
  Status Ready() const { return here() ? OkStatus() : late->read(); }
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

  // Verifies, maps or decodes every selected stream in parallel, validates every plane; under kLazy
  // checks what the manifest says of them, and each matrix does the rest (ResidentMatrix::Ready).
  // Errors name the tensor.
  static Result<std::unique_ptr<WeightSet>> FromArtifact(
      std::shared_ptr<const artifact::ArtifactReader> reader, const stored::Selection& selection,
      Verify verify = Verify::kEager);
  // The source's own weights, mapped where their layout allows; transposed uses are transposed
  // here.
  static Result<std::unique_ptr<WeightSet>> FromCheckpoint(
      std::shared_ptr<const model::Checkpoint> checkpoint, const model::Architecture& architecture);
  // Only those.
  static Result<std::unique_ptr<WeightSet>> FromCheckpoint(
      std::shared_ptr<const model::Checkpoint> checkpoint, std::span<const model::TensorUse> uses);

  // REQUIRES: the matrix is prepared and its name new.
  void Add(std::unique_ptr<ResidentMatrix> matrix);

  // Takes the planes of another reading of the same tensors, with more levels. REQUIRES: nobody
  // uses the matrices meanwhile.
  void TakePlanes(WeightSet&& read);

  const ResidentMatrix* Find(std::string_view name) const;
  // Those that are here, in the order of their names.
  void ForEach(const std::function<void(const ResidentMatrix& matrix)>& visit) const;
  // Reads all that are not here yet. Errors as of ResidentMatrix::Ready.
  Status ReadAll() const;
  std::uint64_t resident_bytes() const;  // of those that are here, mapped ones included

 private:
  std::shared_ptr<const void> owner_;
  std::map<std::string, std::unique_ptr<ResidentMatrix>, std::less<>> matrices_;
};

}  // namespace ingot::loader
