// Which rows leave the forward at an exit: those of whom its router says that what they would leave
// with is as good as told. A row that left keeps its state, and the layers above make keys, values
// and states of it (model/forward/rows_that_leave.h); its logits are the model's own norm and head
// over that state.
//
// Thread rule: as the runner's that it watches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "loader/exit_translator.h"
#include "loader/loaded_model.h"
#include "loader/runner.h"

namespace ingot::loader {

// What routers were trained to say (the artifact's provenance has it).
enum class RouterLabel {
  kLogKl,   // log of the divergence of the exit's tokens from the last layer's, in nats
  kCosine,  // logit of: the normed state is nearly the last one (TIDE's label)
};
// InvalidArgument where an artifact has no routers, says of them what this build does not know, or
// they were trained on other weights than it has.
Result<RouterLabel> RouterLabelOf(const Model& model);

struct ExitOptions {
  // By kLogKl: a row leaves where that divergence is predicted to be at most this; 0: none does.
  // By kCosine: where the probability is at least this; 1: none does, 0: all do.
  double threshold = 0;
  std::size_t min_layers = 0;  // a row runs at least so many
  std::size_t interval = 1;    // only exits after a multiple of so many layers count
  LeftRows kv = LeftRows::kPropagate;  // what the layers above have of a row that left
};

struct ExitStats {
  std::uint64_t rows = 0;
  std::vector<std::uint64_t> left;  // by layer: rows that left after it; the last: all others
  // Layers that a row ran, in the mean.
  double kept_layers() const;
  // Of the rows that were still there, the share that left after each layer; none after the last.
  std::vector<double> chances() const;
  // Whether there were rows, and none left before the last layer, or all did after the same one.
  bool none_left() const;
  bool all_left_at_once() const;
};

// What `ingot tune-exits` wrote into the artifact. InvalidArgument where it holds none.
Result<ExitOptions> TunedExits(const Model& model);

class ExitPolicy {
 public:
  // InvalidArgument: no routers, a threshold out of its range, an interval of 0, no exit that
  // min_layers and interval leave.
  static Result<ExitPolicy> Make(const Model& model, const ExitOptions& options);
  // For comparison: after each layer a row leaves by chance, chances[layer] of those that are still
  // there. Through the artifact's translators, where exits have some. REQUIRES: as many chances as
  // layers; translators that fit, as Make finds.
  static ExitPolicy ByChance(const Model& model, std::vector<double> chances, std::uint64_t seed,
                             LeftRows kv = LeftRows::kPropagate);

  // Decides for rows of hidden states after a layer.
  model::GoingRows Decide(CpuOps& ops, std::size_t layer, const Tensor& x);
  // What the head sees of rows that left after a layer.
  void Translate(std::size_t layer, Tensor& left) const;
  bool translates() const;
  // Rows of a step that is over, of which some may have left.
  const ExitStats& stats() const { return stats_; }
  LeftRows kv() const { return options_.kv; }

 private:
  explicit ExitPolicy(const Model& model);
  bool Leaves(double said) const;
  // Corruption: one that does not fit the model.
  Status TakeTranslators(const Model& model);

  const model::Architecture* architecture_;
  ExitOptions options_;
  RouterLabel label_ = RouterLabel::kLogKl;
  std::vector<const model::ExitSpec*> exits_;  // by layer; null: none counts
  std::vector<std::optional<ExitTranslator>> translators_;  // by layer; empty: none
  std::vector<double> chances_;                // empty: routers decide
  Random random_{0};
  ExitStats stats_;
};

// Lets a policy decide over all steps of a runner while this lives; both must outlive it.
// REQUIRES: nobody watches the runner's layers.
class ExitsOf {
 public:
  ExitsOf(Runner& runner, ExitPolicy& policy);
  ~ExitsOf() {
    runner_.ops().after_layer = nullptr;
    runner_.ops().at_exit = nullptr;
    runner_.ops().left_rows = LeftRows::kPropagate;  // rows that wait go on doing so
  }
  ExitsOf(const ExitsOf&) = delete;
  ExitsOf& operator=(const ExitsOf&) = delete;

 private:
  Runner& runner_;
};

}  // namespace ingot::loader
