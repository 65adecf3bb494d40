// How much a token needs its planes, told from what precedes its step alone: which token it is,
// where it stands, and what the step before said: the entropy of its distribution and how
// surprising the token is under it. What it says is the log of a divergence, of the token with
// class 0's planes from the same with all; its place among those of calibration is the importance,
// 0 ... 1. After a layer a linear probe of the normed state there, and of its norm, says it anew
// for the layers above.
//
// `ingot calibrate --classes` makes it (jobs/classes_job.h) and keeps it in the artifact as tensors
// of role `router`, float32:
//   classes.token      [vocabulary]     what tokens of that id need, as calibration met them
//   classes.weights    [kFeatures]      of the features below
//   classes.quantiles  [kQuantiles]     of what they say, ascending
//   classes.probe      [kFeatures + 1 + width]  the same, the log norm's and the state's; its layer
//   is
//                      the one after which it is asked
//   classes.probe_quantiles  [kQuantiles]
//   classes.layers     [layers + 1]     log of the divergence where that layer alone, or the head,
//                      has class 0's planes
//
// Thread rule: immutable once made.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "loader/loaded_model.h"
#include "model/tokenizer/token_id.h"

namespace ingot::loader {

// A token and what is known before its step.
struct TokenContext {
  model::TokenId id = 0;
  std::uint64_t position = 0;
  double entropy = 0;   // of the distribution that it was drawn from, in nats
  double surprise = 0;  // minus the log of its probability there
};
// Of `id`, to stand at `position`, that followed a step with these logits.
TokenContext ContextOf(std::span<const float> logits, model::TokenId id, std::uint64_t position);

// The tensors' names and sizes.
inline constexpr std::string_view kClassToken = "classes.token", kClassWeights = "classes.weights",
                                  kClassQuantiles = "classes.quantiles",
                                  kClassProbe = "classes.probe",
                                  kClassProbeQuantiles = "classes.probe_quantiles",
                                  kClassLayers = "classes.layers";
inline constexpr std::size_t kFeatures = 6, kQuantiles = 65;

// One, what calibration says of the id, entropy, surprise, log position, entropy times the id's.
std::array<double, kFeatures> FeaturesOf(const TokenContext& context, double of_token);
// The log of a state's root mean square; and the state over it into `normed`.
double NormState(std::span<const float> state, std::span<float> normed);

// The tensors' values.
struct ImportanceValues {
  std::vector<float> token, weights, quantiles, probe, probe_quantiles, layers;
  std::size_t probe_layer = 0;
};

class TokenImportance {
 public:
  // REQUIRES: sizes as above, quantiles ascending.
  explicit TokenImportance(ImportanceValues values) : values_(std::move(values)) {}
  // InvalidArgument where an artifact has none; Corruption for tensors that do not fit the model.
  static Result<TokenImportance> Of(const Model& model);

  // Before the step, and after probe_layer().
  double Predict(const TokenContext& context) const;
  double PredictFrom(const TokenContext& context, std::span<const float> state) const;
  // Their places among calibration's, 0 ... 1.
  double Importance(double predicted) const { return PlaceIn(values_.quantiles, predicted); }
  double ProbedImportance(double predicted) const {
    return PlaceIn(values_.probe_quantiles, predicted);
  }
  std::size_t probe_layer() const { return values_.probe_layer; }
  std::span<const float> layers() const { return values_.layers; }

 private:
  static double PlaceIn(std::span<const float> quantiles, double value);

  ImportanceValues values_;
};

}  // namespace ingot::loader
