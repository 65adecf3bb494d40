// With how many planes of each matrix a row is multiplied: all, those of one token class for all
// rows, a class for each layer, or a class for each token by its importance. What a class reads of
// a matrix is the artifact's table (model::PlanesOfClass).
//
// A text's prompt is read with all planes where tokens have classes; generated tokens have them.
//
// Thread rule: as the runner's that it decides for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "loader/loaded_model.h"
#include "loader/precision/token_importance.h"
#include "loader/runner.h"

namespace ingot::loader {

struct PrecisionOptions {
  // kInt8, kInt4: all rows, a prompt's too, with class 1's or class 0's planes. kMixed: layers that
  // calibration found to need them with class 1's, the others with class 0's. kAdaptive: tokens by
  // importance.
  enum class Mode { kFull, kInt8, kInt4, kMixed, kAdaptive } mode = Mode::kFull;
  // Of kAdaptive: the importance from which on a token is of class 1, 2, 3.
  std::array<double, model::kTokenClasses - 1> thresholds = {0.25, 0.5, 0.75};
  // Instead: classes 0 and 1, as many of class 0 as kept this divergence when it was measured on
  // text that calibration held out.
  std::optional<double> max_kl;
};

// Rows by class, below the probe's layer and from there on.
struct PrecisionStats {
  std::array<std::uint64_t, model::kTokenClasses> below{}, above{};
};

class PrecisionPolicy {
 public:
  // InvalidArgument: no planes to choose from, thresholds outside 0 ... 1 or descending, a model
  // that was not calibrated where that is needed, a divergence that no mix kept.
  static Result<PrecisionPolicy> Make(const Model& model, const PrecisionOptions& options);
  // By an importance that is not an artifact's yet.
  static PrecisionPolicy ByImportance(
      TokenImportance importance, const std::array<double, model::kTokenClasses - 1>& thresholds);
  // For comparison: classes drawn in the shares that `like` counted, below the probe and above it
  // each for itself. REQUIRES: `like` was made with kAdaptive.
  static PrecisionPolicy ByChance(const PrecisionPolicy& like, std::uint64_t seed);

  // Of a prompt's rows.
  std::uint32_t prompt_planes() const { return prompt_planes_; }
  // Whether a row's planes depend on the step before it, so that only one row of a sequence can
  // run.
  bool one_by_one() const { return importance_.has_value(); }
  // Whether layers differ.
  bool watches_layers() const { return importance_.has_value() || !by_layer_.empty(); }

  // The planes that the rows of the next step begin with.
  std::vector<std::uint32_t> Start(std::span<const TokenContext> rows);
  // At a layer border of that step.
  void AfterLayer(std::size_t layer, Tensor& x);
  // Importance of the last step's rows, before it and after the probe.
  struct Judged {
    double before = 0, after = 0;
    std::uint32_t class_below = 0, class_above = 0;
  };
  std::span<const Judged> judged() const { return judged_; }
  const PrecisionStats& stats() const { return stats_; }

 private:
  PrecisionPolicy() = default;
  std::uint32_t ClassOf(double importance) const;
  std::uint32_t Draw(const std::array<std::uint64_t, model::kTokenClasses>& counts);

  std::uint32_t prompt_planes_ = model::kAllPlanes;
  std::vector<std::uint32_t> by_layer_;  // kMixed: planes of each layer, then the head's
  std::array<double, model::kTokenClasses - 1> thresholds_{};
  std::optional<TokenImportance> importance_;
  std::optional<PrecisionStats> shares_;  // by chance
  Random random_{0};
  std::vector<TokenContext> rows_;
  std::vector<Judged> judged_;
  PrecisionStats stats_;
};

// Lets a policy decide at the layer borders of a runner while this lives; both must outlive it.
// REQUIRES: nobody watches the runner's layers.
class PrecisionOf {
 public:
  PrecisionOf(Runner& runner, PrecisionPolicy& policy);
  ~PrecisionOf() { runner_.ops().after_layer = nullptr; }
  PrecisionOf(const PrecisionOf&) = delete;
  PrecisionOf& operator=(const PrecisionOf&) = delete;

 private:
  Runner& runner_;
};

// Whether a class leaves planes out of some matrix: what else a policy could choose from.
Status CheckHasClasses(const Model& model);

}  // namespace ingot::loader
