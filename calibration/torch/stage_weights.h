// The weights of one stage of a model (its embedding, one layer, its head) as float32 LibTorch
// tensors: read, used and dropped, so that a model never lies in memory as a whole. Nothing is
// mapped: what is read does not count twice.
//
// Thread rule: immutable once loaded.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "calibration/stages.h"
#include "model/architecture.h"
#include "model/checkpoint.h"

namespace ingot::calibration {

class StageWeights {
 public:
  struct Linear {
    at::Tensor weight;  // rows x cols
    at::Tensor bias;    // undefined: none
  };
  struct Norm {
    at::Tensor weight;  // size, or heads x size; the offset is in it; undefined: ones
    at::Tensor bias;    // undefined: none
  };

  // NotFound names a missing tensor, InvalidArgument a shape that does not fit, Io. The
  // architecture must outlive the result and not move: references are found by address.
  static Result<std::unique_ptr<StageWeights>> Load(const model::Checkpoint& checkpoint,
                                                    const model::Architecture& architecture,
                                                    std::size_t stage);

  // REQUIRES: the argument lies inside the stage.
  const Linear& Of(const model::LinearRef& ref) const { return linears_.at(&ref); }
  const Norm& Of(const model::NormSpec& norm) const { return norms_.at(&norm); }

  // A small tensor that is no matrix of a product, as rows x the rest; by the address of its name.
  const at::Tensor& Values(const std::string& name) const { return values_.at(&name); }

  // Rows of a table, ids.size() x cols, read from the file. InvalidArgument for an id outside it.
  Result<at::Tensor> Rows(const std::string& table, std::span<const std::int32_t> ids) const;

 private:
  explicit StageWeights(const model::Checkpoint& checkpoint) : checkpoint_(&checkpoint) {}
  Result<at::Tensor> Read(const std::string& name, bool transposed);
  Status AddLinear(const model::LinearRef& ref);
  Status AddNorm(const model::NormSpec& norm);

  const model::Checkpoint* checkpoint_;
  std::unordered_map<const model::LinearRef*, Linear> linears_;
  std::unordered_map<const model::NormSpec*, Norm> norms_;
  std::unordered_map<const std::string*, at::Tensor> values_;
  std::map<std::string, at::Tensor, std::less<>> tensors_;
};

}  // namespace ingot::calibration
