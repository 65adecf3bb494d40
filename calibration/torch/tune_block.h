// One decoder layer under tuning.
//
// Thread rule: belongs to one thread; parallel over windows inside.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "calibration/torch/run_state.h"
#include "calibration/tune_options.h"
#include "calibration/torch/tune_tensor.h"

namespace ingot::calibration {

// The packed model as LibTorch tensors: those of the block under tuning by its own tensors, all
// others decoded when they are asked for.
class PackedReader : public WeightReader {
 public:
  explicit PackedReader(const PackedModel& packed) : packed_(packed) {}
  Result<at::Tensor> Matrix(const std::string& name, bool transposed) const override;
  Result<at::Tensor> Rows(const std::string& table,
                          std::span<const std::int32_t> ids) const override;
  void Use(const std::string& name, const at::Tensor& weight) { own_[name] = weight; }

 private:
  Result<std::shared_ptr<const TuneTensor>> Table(const std::string& name) const;

  const PackedModel& packed_;
  std::map<std::string, at::Tensor> own_;
  mutable std::mutex mutex_;  // of tables_
  mutable std::map<std::string, std::shared_ptr<const TuneTensor>> tables_;
};

// The activations that a block is tuned on, a window each.
struct BlockData {
  const ActivationFile* in;      // what the packed layers before it give
  const ActivationFile* target;  // what the source's layer puts out
  std::vector<std::size_t> train, held_out;
};

class TuneBlock {
 public:
  // Reads the layer's tensors. `shared` names those that other layers use, too: they stay.
  static Result<std::unique_ptr<TuneBlock>> Load(const RunState& run, const PackedModel& packed,
                                                 std::size_t layer,
                                                 const std::map<std::string, int>& uses);

  std::size_t parameters() const { return parameters_; }
  // Tunes; leaves the block with what is kept.
  Result<TunedBlock> Run(const BlockData& data, const TuneOptions& options);
  // The block's output on every window, as it is now.
  Status Forward(const ActivationFile& in, ActivationFile& out) const;
  void TakeChanged(std::map<std::string, std::vector<NewStream>>& streams) const;

 private:
  struct Leaf {
    std::string name;
    std::unique_ptr<TuneTensor> tensor;
    at::Tensor weight;  // what the forward reads, decoded
    std::size_t begin = 0;
  };
  TuneBlock(const RunState& run, std::size_t layer) : run_(run), layer_(layer) {}
  Status AddLeaf(const PackedModel& packed, const std::string& name, TuneTensor::Use use,
                 double offset, bool moves);
  void Set(const std::vector<float>& deltas);
  Result<at::Tensor> Output(const ActivationFile& in, std::size_t window) const;
  Result<at::Tensor> Loss(const BlockData& data, std::size_t window) const;
  Result<double> HeldOut(const BlockData& data) const;
  Status Gradient(const BlockData& data, std::span<const std::size_t> windows,
                  std::vector<float>& gradient) const;

  const RunState& run_;
  std::size_t layer_;
  std::shared_ptr<PackedReader> reader_;
  std::vector<Leaf> leaves_;
  std::size_t parameters_ = 0;
};

}  // namespace ingot::calibration
