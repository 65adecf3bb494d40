#include "loader/precision/token_importance.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "artifact/weights_digest.h"
#include "loader/cpu/linear.h"
#include "loader/kernels/vector_kernels.h"

namespace ingot::loader {
namespace {

// A token that could hardly be is no more surprising than this.
constexpr double kMostSurprise = 20;

// A float32 tensor of `size` values; InvalidArgument where there is none.
Result<std::vector<float>> Values(const Model& model, std::string_view name, std::uint64_t size) {
  const ResidentMatrix* matrix = model.weights().Find(name);
  if (matrix == nullptr)
    return InvalidArgument(model.source() +
                           ": does not say which tokens need their planes; ingot "
                           "calibrate --classes makes an artifact that does");
  if (matrix->rows * matrix->cols != size)
    return Corruption(model.source() + ": tensor '" + std::string(name) + "' has " +
                      std::to_string(matrix->rows * matrix->cols) + " values, this model needs " +
                      std::to_string(size));
  INGOT_TRY(matrix->Ready().At(model.source()));
  std::vector<std::int32_t> rows(matrix->rows);
  std::iota(rows.begin(), rows.end(), 0);
  std::vector<float> values(size);
  GatherRows(*matrix, rows, values.data());
  if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); }))
    return Corruption(model.source() + ": tensor '" + std::string(name) + "' is not finite");
  return values;
}

Result<std::size_t> ProbeLayer(const Model& model) {
  const auto& tensors = model.artifact()->manifest().tensors;
  const auto probe = std::ranges::find(tensors, kClassProbe, &artifact::TensorRecord::name);
  const auto layers = static_cast<std::int64_t>(model.architecture().layers.size());
  if (probe == tensors.end() || probe->layer < 0 || probe->layer >= layers)
    return Corruption(model.source() + ": tensor '" + std::string(kClassProbe) +
                      "' belongs to no layer of the model");
  return static_cast<std::size_t>(probe->layer);
}

double Dot(std::span<const double> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

TokenContext ContextOf(std::span<const float> logits, model::TokenId id, std::uint64_t position) {
  thread_local std::vector<float> zeros;
  zeros.resize(std::max(zeros.size(), logits.size()));
  const VectorKernels& kernels = kVectorKernels.Best();
  const LogitStats stats = kernels.logit_stats(logits.data(), logits.size());
  const double log_total = double{stats.max} + std::log(stats.sum_exp);
  const double mean =
      kernels.weighted_difference(logits.data(), stats.max, zeros.data(), logits.size()) /
      stats.sum_exp;
  return {id, position, std::max(0.0, log_total - mean),
          std::clamp(log_total - double{logits[static_cast<std::size_t>(id)]}, 0.0, kMostSurprise)};
}

std::array<double, kFeatures> FeaturesOf(const TokenContext& context, double of_token) {
  return {1,
          of_token,
          context.entropy,
          context.surprise,
          std::log1p(static_cast<double>(context.position)),
          context.entropy * of_token};
}

double NormState(std::span<const float> state, std::span<float> normed) {
  double squares = 0;
  for (const float value : state) squares += double{value} * value;
  const double rms = std::sqrt(squares / static_cast<double>(state.size()) + 1e-12);
  for (std::size_t i = 0; i < state.size(); ++i) normed[i] = static_cast<float>(state[i] / rms);
  return std::log(rms);
}

Result<TokenImportance> TokenImportance::Of(const Model& model) {
  const model::Architecture& architecture = model.architecture();
  ImportanceValues of;
  INGOT_ASSIGN(of.token, Values(model, kClassToken, architecture.vocab_size));
  INGOT_ASSIGN(of.weights, Values(model, kClassWeights, kFeatures));
  INGOT_ASSIGN(of.quantiles, Values(model, kClassQuantiles, kQuantiles));
  INGOT_ASSIGN(of.probe, Values(model, kClassProbe, kFeatures + 1 + architecture.hidden_size));
  INGOT_ASSIGN(of.probe_quantiles, Values(model, kClassProbeQuantiles, kQuantiles));
  if (model.weights().Find(kClassLayers) != nullptr) {
    INGOT_ASSIGN(of.layers, Values(model, kClassLayers, architecture.layers.size() + 1));
  }
  INGOT_ASSIGN(of.probe_layer, ProbeLayer(model));
  const artifact::Json& provenance = model.artifact()->manifest().provenance;
  if (const auto classes = provenance.find("classes");
      classes != provenance.end() && classes->is_object())
    INGOT_TRY(artifact::CheckLearnedFrom(*model.artifact(), *classes, "token classes")
                  .At(model.source()));
  if (!std::ranges::is_sorted(of.quantiles) || !std::ranges::is_sorted(of.probe_quantiles))
    return Corruption(model.source() + ": quantiles of token classes do not ascend");
  return TokenImportance(std::move(of));
}

double TokenImportance::Predict(const TokenContext& context) const {
  return Dot(FeaturesOf(context, values_.token[static_cast<std::size_t>(context.id)]),
             values_.weights);
}

double TokenImportance::PredictFrom(const TokenContext& context,
                                    std::span<const float> state) const {
  thread_local std::vector<float> normed;
  normed.resize(state.size());
  const double norm = NormState(state, normed);
  double said = Dot(FeaturesOf(context, values_.token[static_cast<std::size_t>(context.id)]),
                    std::span(values_.probe).first(kFeatures)) +
                norm * values_.probe[kFeatures];
  for (std::size_t i = 0; i < normed.size(); ++i)
    said += double{normed[i]} * values_.probe[kFeatures + 1 + i];
  return said;
}

double TokenImportance::PlaceIn(std::span<const float> quantiles, double value) {
  const auto above = std::ranges::upper_bound(quantiles, static_cast<float>(value));
  if (above == quantiles.begin()) return 0;
  if (above == quantiles.end()) return 1;
  const auto i = static_cast<std::size_t>(above - quantiles.begin() - 1);
  const double width = double{quantiles[i + 1]} - quantiles[i];
  const double part = width > 0 ? (value - quantiles[i]) / width : 0;
  return (static_cast<double>(i) + part) / static_cast<double>(quantiles.size() - 1);
}

}  // namespace ingot::loader
