// The op set of the forward over LibTorch, float32 on the CPU, with autograd where gradients are
// on: what calibration runs a stage at a time. Every op is out of place, so that a recorded tensor
// stays what it was.
//
// Thread rule: one op set a thread. LibTorch's own threads are off (UseOneTorchThread); what is
// parallel are windows, each of which is computed by one thread in one way.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "calibration/torch/stage_weights.h"
#include "model/forward/forward.h"

namespace ingot::calibration {

// From here on LibTorch and its matrix library use the calling thread alone when called from it.
void UseOneTorchThread();

// What a forward through a stage multiplied, in order.
struct StageRecord {
  struct Use {
    const model::LinearRef* ref;
    std::size_t input;  // index into inputs; matrices that read one tensor share it
    at::Tensor output;  // undefined unless keep_outputs
  };
  bool keep_outputs = false;
  // The head's product is left out (its input is still recorded): statistics of inputs need none.
  const model::LinearRef* skip = nullptr;
  bool want_attention = false;

  std::vector<at::Tensor> inputs;
  std::vector<Use> uses;
  // Per token the mean probability that the queries which see it give it, over heads.
  at::Tensor attention;
};

class TorchOps {
 public:
  using Tensor = at::Tensor;

  // Which tokens go to which expert, with which weight.
  struct Routes {
    struct Expert {
      at::Tensor rows;     // int64
      at::Tensor weights;  // rows x 1
    };
    std::vector<Expert> by_expert;
  };

  // All borrowed; `record` may be null.
  TorchOps(const model::Architecture& architecture, const StageWeights& weights,
           StageRecord* record = nullptr)
      : architecture_(&architecture), weights_(&weights), record_(record) {}

  // Takes whole sequences of one length, one after another, each from position 0 on
  // (model::WholeSequences): calibration keeps nothing between forwards. Other rows are an error of
  // status().
  void Begin(const model::Batch& batch);

  // The first error: of the rows, or of a table read, which made its op return zeros.
  const Status& status() const { return status_; }

  Tensor Embed(const std::string& table, std::span<const std::int32_t> ids);
  Tensor Norm(const model::NormSpec& norm, const Tensor& x);
  Tensor HeadNorm(const model::NormSpec& norm, Tensor x, std::size_t heads);
  std::vector<Tensor> Linear(std::initializer_list<const model::LinearRef*> refs, const Tensor& x);
  Tensor Rope(std::size_t rope, std::size_t head_dim, Tensor x);
  Tensor Attention(const model::AttentionSpec& spec, std::size_t layer, Tensor q, const Tensor& k,
                   const Tensor& v);
  Tensor Gate(model::Activation activation, Tensor gate, const Tensor& up);
  Tensor Activate(model::Activation activation, Tensor x);
  Tensor Add(Tensor x, const Tensor& y, double scale);
  Tensor Scale(Tensor x, double factor);
  Tensor Softcap(Tensor x, double cap);
  Tensor Clamp(Tensor x, double limit);
  Tensor Select(const Tensor& x, std::span<const std::uint32_t> rows);
  Routes Route(const Tensor& logits, std::size_t per_token, bool normalize);
  bool HasRows(const Routes& routes, std::size_t expert) const {
    return routes.by_expert[expert].rows.numel() > 0;
  }
  Tensor TakeRows(const Tensor& x, const Routes& routes, std::size_t expert);
  Tensor AddRows(Tensor sum, const Tensor& y, const Routes& routes, std::size_t expert);
  Tensor ZerosLike(const Tensor& x);
  Tensor Columns(const Tensor& x, const model::ColumnSlice& slice);
  Tensor GateRows(Tensor x, const Tensor& gate);

  // State-space and retention mixers (recurrent_torch_ops.cc).
  Tensor GroupNorm(const model::NormSpec& norm, Tensor x, std::size_t groups);
  Tensor CausalConv(const model::CausalConvSpec& spec, std::size_t layer, const Tensor& x);
  Tensor SelectiveScan(const model::MambaSpec& spec, std::size_t layer, const Tensor& x,
                       const Tensor& step, const Tensor& b, const Tensor& c);
  Tensor SsdScan(const model::Mamba2Spec& spec, std::size_t layer, const Tensor& xbc,
                 const Tensor& dt);
  Tensor Retention(const model::RetentionSpec& spec, std::size_t layer, const Tensor& q,
                   const Tensor& k, const Tensor& v);

  // RWKV's mixers (rwkv_torch_ops.cc).
  Tensor TokenShift(std::size_t layer, std::size_t slot, const Tensor& x);
  Tensor TokenMix(const std::string& vector, bool of_current, const Tensor& x, const Tensor& delta);
  Tensor TokenMix(const std::string& vector, const Tensor& x, const Tensor& delta,
                  const Tensor& low);
  Tensor RwkvScan(const model::RwkvSpec& spec, std::size_t layer,
                  model::RwkvStreams<Tensor> streams);
  void KeepFirstValue(const Tensor& value) { first_value_ = value; }
  Tensor BlendFirstValue(Tensor value, const Tensor& gate);
  // The first layer's values, where a later layer runs on its own.
  void SetFirstValue(Tensor value) { first_value_ = std::move(value); }
  const Tensor& first_value() const { return first_value_; }

 private:
  Tensor RwkvScan4(const model::RwkvSpec& spec, const Tensor& key, const Tensor& value) const;
  Tensor RwkvScanHeads(const model::RwkvSpec& spec,
                       const model::RwkvStreams<Tensor>& streams) const;
  Tensor DeltaScanHeads(const model::RwkvSpec& spec, model::RwkvStreams<Tensor>& streams) const;
  struct RopeTable {
    at::Tensor cosine, sine;  // length x dims / 2
  };
  void SetShape(std::size_t sequences, std::size_t length);
  RopeTable MakeRope(const model::RopeSpec& spec) const;
  Tensor NormLast(const model::NormSpec& norm, const Tensor& x) const;
  // Added to the scores: 0 where a query sees a key, -inf where not. length x length.
  Tensor Mask(const model::AttentionSpec& spec) const;
  // heads x 1 x length (keys).
  Tensor Alibi(const model::AttentionSpec& spec) const;

  const model::Architecture* architecture_;
  const StageWeights* weights_;
  StageRecord* record_;
  std::int64_t sequences_ = 1, length_ = 0;
  std::vector<RopeTable> ropes_;
  Tensor first_value_;  // RWKV 7
  Status status_;
};

static_assert(model::OpSet<TorchOps>);
static_assert(model::MambaOps<TorchOps> && model::RetentionOps<TorchOps>);
static_assert(model::RwkvOps<TorchOps>);

}  // namespace ingot::calibration
