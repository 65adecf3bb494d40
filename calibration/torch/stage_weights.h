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
#include <utility>
#include <vector>

#include "base/status.h"
#include "calibration/stages.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::calibration {

// Where weights come from: a source model, or one that is being changed.
//
// Thread rule: const methods may be called from several threads.
class WeightReader {
 public:
  virtual ~WeightReader() = default;
  // A stored tensor as float32, rows (outputs) x cols; a vector is 1 x n. `transposed`: the source
  // holds the matrix the other way round. NotFound, Io.
  virtual Result<at::Tensor> Matrix(const std::string& name, bool transposed) const = 0;
  // Rows of a table, ids.size() x cols. InvalidArgument for an id outside it.
  virtual Result<at::Tensor> Rows(const std::string& table,
                                  std::span<const std::int32_t> ids) const = 0;
};

// Reads a checkpoint, which must outlive it.
std::shared_ptr<const WeightReader> ReaderOf(const model::Checkpoint& checkpoint);

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
  static Result<std::unique_ptr<StageWeights>> Load(std::shared_ptr<const WeightReader> reader,
                                                    const model::Architecture& architecture,
                                                    std::size_t stage);

  // REQUIRES: the argument lies inside the stage.
  const Linear& Of(const model::LinearRef& ref) const { return linears_.at(&ref); }
  const Norm& Of(const model::NormSpec& norm) const { return norms_.at(&norm); }

  // A small tensor that is no matrix of a product, as rows x the rest; by the address of its name.
  const at::Tensor& Values(const std::string& name) const { return values_.at(&name); }

  // Rows of a table, ids.size() x cols, read from the file. InvalidArgument for an id outside it.
  Result<at::Tensor> Rows(const std::string& table, std::span<const std::int32_t> ids) const {
    return reader_->Rows(table, ids);
  }

 private:
  explicit StageWeights(std::shared_ptr<const WeightReader> reader) : reader_(std::move(reader)) {}
  Result<at::Tensor> Read(const std::string& name, bool transposed);
  Status AddLinear(const model::LinearRef& ref);
  Status AddNorm(const model::NormSpec& norm);

  std::shared_ptr<const WeightReader> reader_;
  std::unordered_map<const model::LinearRef*, Linear> linears_;
  std::unordered_map<const model::NormSpec*, Norm> norms_;
  std::unordered_map<const std::string*, at::Tensor> values_;
  std::map<std::string, at::Tensor, std::less<>> tensors_;
};

}  // namespace ingot::calibration
