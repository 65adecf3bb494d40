// One stage of a model (its embedding, one layer, its head) as the loader's op set runs it: read,
// used and dropped, so that a model never lies in memory as a whole.
//
// Thread rule: immutable once loaded.
#pragma once

#include <cstddef>
#include <memory>

#include "base/status.h"
#include "loader/cpu/bound_weights.h"
#include "loader/weights/resident.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::calibration {

class StageModel {
 public:
  // Stages are numbered as in calibration/stages.h. The checkpoint must outlive the result.
  // NotFound names a missing tensor; Io; Unsupported.
  static Result<std::unique_ptr<StageModel>> Load(const model::Checkpoint& checkpoint,
                                                  const model::Architecture& architecture,
                                                  std::size_t stage);

  // Of the whole model, but that its layers are this one, number 0, or none. References into it are
  // what the op set knows.
  const model::Architecture& architecture() const { return architecture_; }
  const loader::BoundWeights& weights() const { return *bound_; }
  bool is_layer() const { return !architecture_.layers.empty(); }

 private:
  StageModel() = default;
  model::Architecture architecture_;
  std::unique_ptr<loader::WeightSet> weights_;
  std::unique_ptr<loader::BoundWeights> bound_;
};

// Whether the numbers of a description fit each other and the checkpoint's tensors: asked once,
// before any stage is loaded. As model::CheckArchitecture.
Status CheckAgainst(const model::Checkpoint& checkpoint, const model::Architecture& architecture);

}  // namespace ingot::calibration
