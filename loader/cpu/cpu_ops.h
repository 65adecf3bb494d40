// The op set of the forward for this machine's processor: float32 activations over resident planes,
// rows and heads in parallel. What depends on a row's sequence works on runs, the rows of one
// sequence next to each other: attention reads and appends the sequence's pages, recurrent mixers
// its states.
//
// A row's results do not depend on the rows beside it, nor on the number of threads, in any bit.
//
// Thread rule: belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "loader/cpu/routes.h"
#include "loader/cpu/alibi.h"
#include "loader/cpu/bound_weights.h"
#include "loader/cpu/cpu_sequence.h"
#include "loader/cpu/linear.h"
#include "loader/cpu/rope_table.h"
#include "loader/cpu/tensor_pool.h"
#include "loader/kernels/vector_kernels.h"
#include "model/forward/forward.h"

namespace ingot::loader {

struct RwkvHeadTask;

// What layers above the border at which a row left have of it. Recurrent layers take its state
// under kZero, too: what follows depends on all that they compute.
enum class LeftRows {
  kPropagate,  // keys and values of the state that it left with
  kZero,       // keys and values of zero
  kRecompute,  // nothing, until a later row needs it: then what it would have had (waiting_rows.h)
};

class CpuOps {
 public:
  using Tensor = loader::Tensor;

  using Routes = loader::Routes;

  // Everything is borrowed.
  CpuOps(const model::Architecture& architecture, const BoundWeights& weights, KvPool& pool,
         const CpuSequences& sequences, Compute compute);

  // REQUIRES: rows name sequences that are there, those of one stand together, in the order of
  // their positions; room for them was reserved.
  void Begin(const model::Batch& batch);
  const Status& status() const { return status_; }

  // What failed where no Status could be returned; the first one stays.
  void Fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

  // What holds the weights, as errors about them name it.
  std::string source;

  // Rows that leave at layer borders (leaving_ops.cc); without a watcher all go on.
  std::function<model::GoingRows(std::size_t layer, Tensor& x, std::span<const std::uint32_t> rows)>
      after_layer;
  LeftRows left_rows = LeftRows::kPropagate;
  // What the head sees of rows that left after a layer, in the place of their states; null: these.
  std::function<void(std::size_t layer, Tensor& left)> at_exit;
  model::GoingRows AfterLayer(std::size_t layer, Tensor& x, std::span<const std::uint32_t> rows);
  void KeepKeys(const model::AttentionSpec& spec, std::size_t layer, const Tensor& k,
                const Tensor& v);
  // Under kZero: the rows' keys and values, all zero; whether it was done.
  bool KeepZeros(const model::AttentionSpec& spec, std::size_t layer);
  Tensor PutRows(Tensor to, const Tensor& x, std::span<const std::uint32_t> rows);

  Tensor Embed(const std::string& table, std::span<const std::int32_t> ids);
  Tensor Norm(const model::NormSpec& norm, const Tensor& x);
  Tensor HeadNorm(const model::NormSpec& norm, Tensor x, std::size_t heads);
  std::vector<Tensor> Linear(std::initializer_list<const model::LinearRef*> refs, const Tensor& x);
  // The same, never from int8 activations.
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
  Tensor GroupNorm(const model::NormSpec& norm, Tensor x, std::size_t groups);

  // State-space mixers (mamba_ops.cc).
  Tensor CausalConv(const model::CausalConvSpec& spec, std::size_t layer, const Tensor& x);
  Tensor SelectiveScan(const model::MambaSpec& spec, std::size_t layer, const Tensor& x,
                       const Tensor& step, const Tensor& b, const Tensor& c);
  Tensor SsdScan(const model::Mamba2Spec& spec, std::size_t layer, const Tensor& xbc,
                 const Tensor& dt);
  // Retention (retention_ops.cc).
  Tensor Retention(const model::RetentionSpec& spec, std::size_t layer, const Tensor& q,
                   const Tensor& k, const Tensor& v);

  // RWKV (rwkv_ops.cc).
  Tensor TokenShift(std::size_t layer, std::size_t slot, const Tensor& x);
  Tensor TokenMix(const std::string& vector, bool of_current, const Tensor& x, const Tensor& delta);
  Tensor TokenMix(const std::string& vector, const Tensor& x, const Tensor& delta,
                  const Tensor& low);
  Tensor RwkvScan(const model::RwkvSpec& spec, std::size_t layer,
                  model::RwkvStreams<Tensor> streams);
  void KeepFirstValue(const Tensor& value);
  Tensor BlendFirstValue(Tensor value, const Tensor& gate);
  // What KeepFirstValue kept last.
  const Tensor& first_value() const { return first_value_; }

  // What products took so far.
  struct WeightReads {
    double bytes = 0;  // of weights, once a product however many rows it had
    // Each row's own: what a step of that row alone would have read, and of how many weights.
    double row_bytes = 0;
    double row_weights = 0;
    double bits_a_weight() const { return row_weights > 0 ? 8 * row_bytes / row_weights : 0; }
  };
  const WeightReads& weight_reads() const { return reads_; }

  // Of tensors, kept ones included.
  std::uint64_t tensor_bytes() const { return pool_.resident_bytes(); }
  // Uninitialised, from this op set's pool.
  Tensor MakeTensor(std::size_t rows, std::size_t cols) { return pool_.Make(rows, cols); }

 private:
  // The rows of one sequence.
  struct Run {
    CpuSequence* sequence;
    std::size_t first;
    std::size_t count;
  };
  // Keys and values that a run attends to, by kv head and page.
  struct RunPages {
    std::vector<std::vector<const void*>> keys, values;
    std::uint64_t total = 0;     // positions, those of the run included
    std::size_t first_tile = 0;  // among those of all runs
    std::size_t tiles = 0;       // of a kv head
    std::vector<std::size_t>
        starts;  // of tiles among (row, head of the group) pairs, and their end
  };

  // Whether the matrix is here, read now where it is not yet (Verify::kLazy); else status() says
  // why, and nothing is read any more.
  bool Ready(const ResidentMatrix& matrix);
  // A tensor for the same rows as x.
  Tensor Like(const Tensor& x, std::size_t cols);
  void NormRows(const model::NormSpec& norm, const float* x, std::size_t rows, std::size_t cols,
                float* y) const;
  // The planes of `count` rows of x, each of_row(i).
  template <typename OfRow>
  static RowPlanes PlanesOf(const Tensor& x, std::size_t count, OfRow of_row);
  std::vector<Tensor> LinearAs(Compute compute, std::initializer_list<const model::LinearRef*> refs,
                               const Tensor& x);
  void Multiply(const std::vector<LinearJob>& jobs, const Tensor& x, Compute compute);
  void LinearByClass(std::vector<LinearJob>& jobs, const Tensor& x, Compute compute);
  void WriteKeys(std::size_t layer, const Tensor& k, const Tensor& v);
  void ClosePages(std::size_t layer, std::size_t kv_heads);
  void CutTiles(const Run& run, std::size_t group, RunPages& pages) const;
  void FindPages(const model::AttentionSpec& spec, const std::vector<KvPool::Pinned>& pinned);
  const void* FirstKeys(const model::AttentionSpec& spec, std::size_t run, std::size_t tile) const;
  void AttendTile(const model::AttentionSpec& spec, const Tensor& q, std::size_t run,
                  std::size_t tile, const void* next_keys, Tensor& out) const;
  // A state of every run's sequence, `size` floats each; valid until the next call.
  const std::vector<float*>& States(std::size_t layer, std::size_t slot, std::size_t size);
  void ScanHead(const model::RwkvSpec& spec, std::size_t head, const Run& run,
                model::RwkvStreams<Tensor>& streams, Tensor& removal, Tensor& replacement,
                RwkvHeadTask& task, Tensor& out) const;

  const BoundWeights* weights_;
  KvPool* kv_;
  const CpuSequences* sequences_;
  Compute compute_;
  const VectorKernels* kernels_;
  Status status_;
  WeightReads reads_;
  // Of the rows that Begin said.
  std::vector<model::Row> rows_;
  RowPlanes row_planes_;
  std::vector<Run> runs_;
  std::vector<std::uint32_t> run_of_row_;
  std::vector<RopePlace> places_;
  std::vector<RopeTable> ropes_;
  RoundedAlibi rounded_alibi_;
  TensorPool pool_;
  // RWKV 7's first values, with the rows that they are of.
  Tensor first_value_;
  std::vector<model::Row> first_value_rows_;
  // Kept to keep their memory.
  std::vector<RunPages> pages_;
  std::vector<float*> states_;
};

static_assert(model::OpSet<CpuOps> && model::WatchesLayers<CpuOps> && model::RwkvOps<CpuOps>);
static_assert(model::MambaOps<CpuOps> && model::RetentionOps<CpuOps>);

}  // namespace ingot::loader
