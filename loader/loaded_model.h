// A model that is ready to run: weights in memory, architecture, tokenizer. Opened from an
// artifact, a Hugging Face directory, a GGUF file or a pipe.
//
// Thread rule: immutable once opened, but for weights that are read at their first use
// (loader/weights/resident.h) and for Refine; any number of sessions may share one.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "artifact/reader.h"
#include "base/status.h"
#include "loader/cpu/bound_weights.h"
#include "loader/cpu/linear.h"
#include "loader/weights/resident.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"
#include "model/tokenizer/tokenizer.h"
#include "stored/selection.h"

namespace ingot::loader {

struct ModelOptions {
  const artifact::VerifyingKey* key = nullptr;  // with one, an artifact must be signed by it
  stored::Selection selection;                  // what of an artifact is loaded; by default all
  Compute compute = Compute::kFast;
  // kLazy: of an artifact's weights a model opens with vectors alone (norms, biases), and a matrix
  // is verified when a step first needs it. A step that meets damage fails as the open would have.
  Verify verify = Verify::kEager;
  // An artifact opens with its coarsest level, from a pipe as soon as that is there; ReadRest and
  // Refine bring the others. `selection` counts levels as they are at the end. Not with kLazy.
  bool early = false;
  bool allow_truncated = false;         // an artifact cut short at a level border loads what it has
  std::uint64_t max_decoded_bytes = 0;  // artifact/decoded_size.h; 0: its rule
};

class Model {
 public:
  // A file that starts with the artifact's magic is an artifact, anything else a checkpoint. Errors
  // name file and tensor: NotFound, Corruption, Untrusted, Unsupported, InvalidArgument.
  static Result<std::shared_ptr<const Model>> Open(const std::string& path,
                                                   const ModelOptions& options = {});
  // An artifact from a pipe, verified as it arrives.
  static Result<std::shared_ptr<const Model>> OpenPipe(int fd, const ModelOptions& options = {});
  // `source` names the artifact, in errors too.
  static Result<std::shared_ptr<const Model>> FromArtifact(
      std::shared_ptr<const artifact::ArtifactReader> reader, const ModelOptions& options = {},
      const std::string& source = "artifact");
  static Result<std::shared_ptr<const Model>> FromCheckpoint(
      std::shared_ptr<const model::Checkpoint> checkpoint, const ModelOptions& options = {});

  // Opened early: reads the levels that follow, once. Sessions may step on other threads meanwhile;
  // they meet none of them before Refine. Errors as of opening; Cancelled after StopReading.
  Status ReadRest() const;
  // Ends a ReadRest that waits for a pipe, from any thread.
  void StopReading() const;
  // Puts what ReadRest read in the place of the coarsest level; whether there was anything.
  // REQUIRES: ReadRest returned; no session of the model is in a step.
  bool Refine() const;
  // Opened early, and levels are to follow.
  bool awaits_levels() const { return rest_ != nullptr; }

  const std::string& source() const { return source_; }
  const model::Architecture& architecture() const { return architecture_; }
  const WeightSet& weights() const { return *weights_; }
  const BoundWeights& bound() const { return *bound_; }
  Compute compute() const { return compute_; }
  // NotFound or what else kept the tokenizer from loading: logits need none.
  Result<const model::Tokenizer*> tokenizer() const;
  // The artifact's reader; null for a checkpoint.
  const artifact::ArtifactReader* artifact() const { return artifact_.get(); }

 private:
  Model() = default;
  static Result<std::shared_ptr<const Model>> FromReader(
      std::shared_ptr<const artifact::ArtifactReader> reader, const ModelOptions& options,
      const std::string& source);
  // What ReadRest reads, and has read.
  struct Rest {
    stored::Selection selection;
    std::uint64_t max_decoded_bytes = 0;
    std::unique_ptr<WeightSet> weights;
  };
  static Result<std::shared_ptr<const Model>> Finish(
      std::shared_ptr<Model> model, const std::map<std::string, std::string>& assets);
  std::string source_;
  std::shared_ptr<const artifact::ArtifactReader> artifact_;
  std::shared_ptr<const model::Checkpoint> checkpoint_;
  model::Architecture architecture_;
  std::unique_ptr<WeightSet> weights_;
  mutable std::unique_ptr<Rest> rest_;  // null: nothing follows, or it came
  std::unique_ptr<BoundWeights> bound_;
  Compute compute_ = Compute::kFast;
  std::unique_ptr<model::Tokenizer> tokenizer_;
  Status tokenizer_status_;
};

}  // namespace ingot::loader
