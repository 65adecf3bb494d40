// The op set of the forward on a GPU: float32 activations in the device's memory, weights and pages
// there, too; the host says what runs next and reads nothing but logits. The same over the host
// grid.
//
// Products are exact in float32, or of bfloat16 activations on tensor cores. A row's results do not
// depend on the rows beside it where products are exact; the number of tokens of a step chooses the
// kernel of others.
//
// Recurrent mixers carry a sequence's states, which a failed step leaves somewhere between: the
// sequence is then of no more use. A mixture's routes are chosen on the host.
//
// Thread rule: belongs to one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "loader/cpu/bound_weights.h"
#include "loader/cpu/routes.h"
#include "loader/cuda/device_memory.h"
#include "loader/cuda/device_state.h"
#include "loader/cuda/device_tensor.h"
#include "loader/cuda/device_weights.h"
#include "loader/cuda/kernels/attention_kernels.h"
#include "loader/cuda/kernels/layer_kernels.h"
#include "loader/cuda/kernels/scan_runs.h"
#include "loader/cuda/step_tables.h"
#include "model/forward/forward.h"

namespace ingot::cuda {

Pointwise PointwiseOf(model::Activation activation);

// Whether these are all of `count` rows, in their order.
inline bool AreAll(std::span<const std::uint32_t> rows, std::size_t count) {
  std::size_t i = 0;
  while (i < rows.size() && rows[i] == i) ++i;
  return i == rows.size() && i == count;
}

class CudaOps {
 public:
  using Tensor = DeviceTensor;
  using Routes = loader::Routes;

  // Everything is borrowed. exact: float32 products.
  CudaOps(const model::Architecture& architecture, const loader::BoundWeights& bound,
          DeviceWeights& weights, const PageLayout& layout, const StateLayout& states,
          const std::vector<DeviceSequence*>& sequences, DevicePool& pool, void* stream,
          bool exact);

  // REQUIRES: as CpuOps; the pages of the rows' positions are there, and their sequences' states.
  void Begin(const model::Batch& batch);
  const Status& status() const { return status_; }

  // A forward between these two is recorded as a graph. REQUIRES: Begin has placed the same rows,
  // and a forward like it has run, so that nothing is left that it must bring from the host.
  void BeginRecording();
  // Null where it failed: status() says why.
  void* EndRecording();
  // What decides which launches a forward of the rows makes; the last number is another one where
  // the rows' tables have moved.
  using Form = std::array<std::uint64_t, 4>;
  Form form() const;

  Tensor Embed(const std::string& table, std::span<const std::int32_t> ids);
  Tensor Norm(const model::NormSpec& norm, const Tensor& x);
  Tensor HeadNorm(const model::NormSpec& norm, Tensor x, std::size_t heads);
  std::vector<Tensor> Linear(std::initializer_list<const model::LinearRef*> refs, const Tensor& x);
  // The same of float32 activations.
  std::vector<Tensor> ExactLinear(std::initializer_list<const model::LinearRef*> refs,
                                  const Tensor& x);
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
    return !routes.by_expert[expert].empty();
  }
  Tensor TakeRows(const Tensor& x, const Routes& routes, std::size_t expert);
  Tensor AddRows(Tensor sum, const Tensor& y, const Routes& routes, std::size_t expert);
  Tensor ZerosLike(const Tensor& x);
  Tensor Columns(const Tensor& x, const model::ColumnSlice& slice);
  Tensor GateRows(Tensor x, const Tensor& gate);

  // State-space mixers and retention (cuda_mamba_ops.cc).
  Tensor CausalConv(const model::CausalConvSpec& spec, std::size_t layer, const Tensor& x);
  Tensor SelectiveScan(const model::MambaSpec& spec, std::size_t layer, const Tensor& x,
                       const Tensor& step, const Tensor& b, const Tensor& c);
  Tensor SsdScan(const model::Mamba2Spec& spec, std::size_t layer, const Tensor& xbc,
                 const Tensor& dt);
  Tensor GroupNorm(const model::NormSpec& norm, Tensor x, std::size_t groups);
  Tensor Retention(const model::RetentionSpec& spec, std::size_t layer, const Tensor& q,
                   const Tensor& k, const Tensor& v);

  // RWKV (cuda_rwkv_ops.cc).
  Tensor TokenShift(std::size_t layer, std::size_t slot, const Tensor& x);
  Tensor TokenMix(const std::string& vector, bool of_current, const Tensor& x, const Tensor& delta);
  Tensor TokenMix(const std::string& vector, const Tensor& x, const Tensor& delta,
                  const Tensor& low);
  Tensor RwkvScan(const model::RwkvSpec& spec, std::size_t layer,
                  model::RwkvStreams<Tensor> streams);
  void KeepFirstValue(const Tensor& value);
  Tensor BlendFirstValue(Tensor value, const Tensor& gate);

  // To the host; what failed before comes back here.
  Result<std::vector<float>> Read(const Tensor& x);

 private:
  void Ran(int error, const char* what);
  void Fail(Status status);
  template <class T>
  T Or(Result<T> result);
  Tensor Make(std::size_t rows, std::size_t cols);
  DeviceBlock Upload(const void* from, std::size_t bytes);
  template <class T>
  DeviceBlock Upload(const std::vector<T>& values) {
    return Upload(values.data(), values.size() * sizeof(T));
  }
  Tensor PointwiseInPlace(Pointwise op, Tensor x, const float* other, double number,
                          std::size_t cols = 1);
  Tensor NormTo(const model::NormSpec& norm, const float* x, std::size_t rows, std::size_t cols,
                Tensor y);
  // Each of `parts` equal parts of every row for itself; weights span a row.
  Tensor NormParts(const model::NormSpec& norm, Tensor x, std::size_t parts);
  std::vector<Tensor> Products(std::initializer_list<const model::LinearRef*> refs, const Tensor& x,
                               bool exact);
  // x as the matrix's planes take it.
  Tensor Turned(const DeviceMatrix& matrix, const Tensor& x);
  Tensor Rounded(const Tensor& x);
  Tensor MoveRows(const Tensor& x, const std::vector<std::int32_t>& ids);
  void WriteKeys(const model::AttentionSpec& spec, std::size_t layer, const Tensor& k,
                 const Tensor& v);
  // Of a row of its positions' pages.
  int MostSplits() const;
  int Splits(const model::AttentionSpec& spec) const;
  const float* SlopesOf(const model::AttentionSpec& spec);
  const std::int32_t* PlacedIds(const std::string& table, std::span<const std::int32_t> ids) const;
  Tensor Mixed(const std::string& vector, bool of_current, const Tensor& x, const Tensor& delta,
               const float* low);
  Tensor Scan4(const model::RwkvSpec& spec, std::size_t layer, model::RwkvStreams<Tensor> streams);

  const model::Architecture* architecture_;
  const loader::BoundWeights* bound_;
  DeviceWeights* weights_;
  StepTables tables_;
  PageForm page_form_;
  DevicePool* pool_;
  void* stream_;
  bool exact_;
  Status status_;
  bool records_ = false;
  Tensor first_value_;  // RWKV 7's
  std::map<const model::AttentionSpec*, DeviceBlock> slopes_;
  std::map<const model::RetentionSpec*, DeviceBlock> decays_;
};

static_assert(model::OpSet<CudaOps> && model::RwkvOps<CudaOps>);
static_assert(model::MambaOps<CudaOps> && model::RetentionOps<CudaOps>);

}  // namespace ingot::cuda
