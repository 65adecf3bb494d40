// Runs batches of rows through a model on a GPU: the device, its stream and memory, weights there,
// pages, sequences. What loader::Runner is for the processor.
//
// Thread rule: belongs to one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "loader/cuda/cuda_ops.h"
#include "loader/cuda/device.h"
#include "loader/cuda/device_draw.h"
#include "loader/loaded_model.h"
#include "model/forward/batch.h"

namespace ingot::cuda {

struct CudaOptions {
  int device = 0;
  bool exact = false;  // float32 products and pages; else bfloat16 products, float16 pages
  std::uint64_t context = 4096;  // positions a sequence may have
  std::uint64_t rows = 512;      // most rows of a step
  int sequences = 1;             // for which memory must do
  // Steps of a row a sequence are recorded once for a number of rows, and replayed.
  bool graphs = true;
};

// The number in "cuda" (0) or "cuda:N"; InvalidArgument for anything else.
Result<int> ParseCudaDevice(std::string_view name);

// NotFound: no GPU, or no driver that answers; Unsupported: one below compute capability 8.0.
Result<DeviceInfo> CheckDevice(int device);

// What a model needs before it runs, all of it held at once.
struct DeviceNeed {
  std::uint64_t weights = 0, pages = 0, states = 0, activations = 0;
  std::uint64_t total() const { return weights + pages + states + activations; }
};
DeviceNeed NeedOf(const loader::Model& model, const CudaOptions& options);

class CudaRunner {
 public:
  // Checks device, model and memory before anything is copied. Unsupported names what of the model
  // has no kernels; Limit says what is needed, what is free and what context would fit.
  static Result<std::unique_ptr<CudaRunner>> Make(std::shared_ptr<const loader::Model> model,
                                                  const CudaOptions& options);
  CudaRunner(const CudaRunner&) = delete;
  CudaRunner& operator=(const CudaRunner&) = delete;
  ~CudaRunner();

  const loader::Model& model() const { return *model_; }
  const CudaOptions& options() const { return options_; }
  // Positions that a sequence may have.
  std::uint64_t context() const;

  // An empty sequence: what a batch's rows call it.
  std::uint32_t Open();
  // Its pages serve others.
  void Close(std::uint32_t sequence);
  std::uint64_t length(std::uint32_t sequence) const { return sequences_[sequence]->ids.size(); }
  // The sequence's next steps make it so long: rotations that depend on a sequence's length go by
  // that already. A step expects its own rows.
  void Expect(std::uint32_t sequence, std::uint64_t length);

  // Steps that were replays of recorded ones.
  std::uint64_t replays() const { return replays_; }

  // Logits, wanted.size() x vocab_size, of rows that follow their sequences. InvalidArgument for
  // rows that do not, or that take fewer planes; Limit for a full context; Io where the device
  // failed: the runner is then of no more use.
  Result<std::vector<float>> Step(const model::Batch& batch, std::span<const std::uint32_t> wanted);
  // The same with the token that follows each wanted row in the place of its logits, which stay on
  // the device: what loader::Sampler would draw. Errors as of both.
  Result<std::vector<model::TokenId>> Next(const model::Batch& batch,
                                           std::span<const std::uint32_t> wanted,
                                           const DeviceDraws& draws);

 private:
  CudaRunner(std::shared_ptr<const loader::Model> model, const CudaOptions& options, void* stream);
  Status Check(const model::Batch& batch, std::span<const std::uint32_t> wanted) const;
  Status MakeRoom(const model::Batch& batch);
  Status MakeRoom(std::uint32_t number, std::uint64_t length);
  Status ClearStates(DeviceSequence& sequence);
  bool CrossesLongRope(std::uint64_t from, std::uint64_t to) const;
  Status RunAgain(std::uint32_t number);
  // Logits on the device, of rows that are now part of their sequences; they hold until the next
  // call.
  Result<const DeviceTensor*> Logits(const model::Batch& batch,
                                     std::span<const std::uint32_t> wanted);
  bool CanReplay(const model::Batch& batch, std::span<const std::uint32_t> wanted) const;
  Result<const DeviceTensor*> Replay(const model::Batch& batch,
                                     std::span<const std::uint32_t> wanted);
  // A recorded step. Its launches work in `memory`.
  struct Graph {
    KeptMemory memory;
    DeviceTensor logits;
    std::unique_ptr<void, void (*)(void*)> recorded{nullptr, &CloseGraph};
  };
  Status Record(const model::Batch& batch, std::span<const std::uint32_t> wanted, Graph& graph);

  std::shared_ptr<const loader::Model> model_;
  CudaOptions options_;
  std::unique_ptr<void, void (*)(void*)> stream_;  // closed after all that it ran
  DevicePool pool_;
  PageLayout layout_;
  StateLayout states_;
  std::unique_ptr<DeviceWeights> weights_;
  std::vector<std::unique_ptr<DeviceSequence>> sequences_;  // by number; null where none has it
  std::vector<DeviceSequence*> open_;                       // the same, as the op set takes them
  // By what decides a step's launches; the empty ones ran once, unrecorded.
  std::map<CudaOps::Form, Graph> graphs_;
  std::uint64_t replays_ = 0;
  std::unique_ptr<CudaOps> ops_;  // ends before the memory that it may hold blocks of
  DeviceTensor logits_;
};

}  // namespace ingot::cuda
