// Runs batches of rows through a model: the op set of a device with its resolved weights, the page
// pool of its sequences and the sequences. A step takes rows of any of them; a row's results are
// the same bits whatever rows share its step (docs/design.md).
//
// Thread rule: a runner, its sequences and the tensors it gives belong to one thread at a time;
// runners over one model are independent.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "loader/cpu/cpu_ops.h"
#include "loader/loaded_model.h"
#include "loader/sequence.h"
#include "model/forward/batch.h"

namespace ingot::loader {

struct RunnerOptions {
  // Longest sequence in tokens. 0: no bound but a learned position table's; pages come as needed.
  std::uint64_t context = 0;
  // Rows of a forward where tokens are run again.
  std::uint64_t block = 512;
  // Page format of keys and values: a name of PageFormats(); by default f32 where the model
  // computes exactly, else f16.
  const PageFormat* pages = nullptr;
  // Pages that all sequences may have together, kPageTokens positions each.
  std::uint64_t most_pages = UINT32_MAX;
};

class Runner {
 public:
  // The model is kept alive.
  explicit Runner(std::shared_ptr<const Model> model, const RunnerOptions& options = {});
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // An empty sequence; it must not outlive the runner.
  std::unique_ptr<Sequence> Open();
  // One that stands where `from` stands. Pages are shared until one of the two writes to them.
  std::unique_ptr<Sequence> Fork(const Sequence& from);
  // A fork that shares nothing: Limit where the pool has no room for it.
  Result<std::unique_ptr<Sequence>> Copy(const Sequence& from);
  // Forgets positions from `length` on. A state cannot go back: with recurrent layers the tokens
  // before are run again with the next step. REQUIRES: length <= sequence.position().
  void Truncate(Sequence& sequence, std::uint64_t length);

  // Where a sequence stands and the states of its recurrent layers there.
  struct Place {
    std::uint64_t length = 0;
    std::optional<RecurrentState> states;  // none: there are none, or they must be run again anyway
  };
  Place Save(const Sequence& sequence) const;
  // Truncate to where it was saved, without running anything again where states were. REQUIRES:
  // place.length <= sequence.position(), and the tokens before it are those of then.
  void Return(Sequence& sequence, const Place& place);

  // Checks that `ids` can follow and makes room for them. A prompt that comes in several steps says
  // so first: nothing of it runs unless all of it can, and longrope's and dynamic frequencies go by
  // its whole length. Errors as of Hidden.
  Status Admit(Sequence& sequence, std::span<const model::TokenId> ids);

  // Runs the rows and appends their tokens to their sequences; hidden states of the wanted rows
  // (indices into the batch). InvalidArgument for an empty batch, an id outside the vocabulary,
  // rows that do not follow their sequence, or an encoder's second step; Limit when a context, a
  // position table or the pool is full; Unsupported for a delta: sequences are then as they were.
  // What the op set could not report before (status()) comes back here too: damage of weights that
  // are read at their first use.
  Result<Tensor> Hidden(const model::Batch& batch, std::span<const std::uint32_t> wanted);
  // Logits of rows [begin, end) of such hidden states, (end - begin) x vocab_size; none that count
  // where status() is an error afterwards.
  Tensor Logits(const Tensor& hidden, std::size_t begin, std::size_t end);
  // Both: wanted.size() x vocab_size.
  Result<Tensor> Step(const model::Batch& batch, std::span<const std::uint32_t> wanted);

  // Steps from now on leave out these layers, ascending, without the first; none: they run all.
  // Such a step's tokens are a draft's: whoever says so takes them back (Return), since the layers
  // left out know nothing of them. Rows that waited (LeftRows::kRecompute) make a step run all
  // layers. Borrowed. REQUIRES: rows do not leave meanwhile.
  void LeaveOut(std::span<const std::size_t> layers) { left_out_ = layers; }

  // The first error of the op set; it stays, and every step after it fails.
  const Status& status() const { return ops_.status(); }

  const Model& model() const { return *model_; }
  CpuOps& ops() { return ops_; }
  const KvPool& pool() const { return pool_; }
  // Keys, values and states of all sequences; tensors of forwards.
  std::uint64_t cache_bytes() const;
  std::uint64_t activation_bytes() const { return ops_.tensor_bytes(); }
  // Layers that rows ran which had left before (LeftRows::kRecompute).
  std::uint64_t recomputed() const { return recomputed_; }
  // Positions a sequence may have.
  std::uint64_t context() const { return context_; }

 private:
  friend class Sequence;
  // Rows [first, first + count) of a batch, of one sequence.
  struct Part {
    Sequence* sequence;
    std::size_t first;
    std::size_t count;
  };
  Result<std::vector<Part>> Split(const model::Batch& batch) const;
  Status CheckIds(std::span<const model::TokenId> ids) const;
  Status CheckLength(const Sequence& sequence, std::uint64_t more) const;
  Status MakeRoom(Sequence& sequence, std::uint64_t more);
  Status MakeRoom(const std::vector<Part>& parts);
  Status RunAgain(Sequence& sequence);
  // The layers of a batch, with what waited of its sequences where rows leave and wait.
  Tensor RunLayers(const model::Batch& batch, const std::vector<Part>& parts);
  // The step's tokens belong to their sequences, or leave no trace.
  void Commit(const model::Batch& batch, const std::vector<Part>& parts);
  void Undo(const std::vector<Part>& parts);
  // Forgets what the model remembers, not the tokens.
  void Forget(Sequence& sequence);
  bool CrossesLongRope(std::uint64_t from, std::uint64_t to) const;

  std::shared_ptr<const Model> model_;
  std::uint64_t context_;
  std::uint64_t block_;
  bool recurrent_;
  KvPool pool_;
  std::vector<Sequence*> open_;  // by number; null where none has it
  CpuSequences states_;          // of open_, as the op set takes them
  CpuOps ops_;
  std::uint64_t recomputed_ = 0;
  std::span<const std::size_t> left_out_;
};

}  // namespace ingot::loader
