#include "jobs/classes_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "artifact/reader.h"
#include "artifact/weights_digest.h"
#include "base/parallel.h"
#include "files/output.h"
#include "jobs/correlation.h"
#include "jobs/held_out_text.h"
#include "jobs/logit_divergence.h"
#include "jobs/ridge.h"
#include "jobs/session_logits.h"
#include "jobs/stepped_logits.h"
#include "loader/ingot.h"
#include "loader/step_cost.h"

namespace ingot::jobs {
namespace {

using artifact::Json;
using loader::kFeatures;
using loader::kQuantiles;
using loader::Tensor;
using loader::TokenContext;
using model::PlanesOfClass;
using model::TokenId;

constexpr std::size_t kLogitRows = 64;  // whose logits are there at once
constexpr double kPriorTokens = 4;      // the mean's weight in what is said of a token id
constexpr double kFeatureRidge = 1e-4;
constexpr double kProbeRidges[] = {1e-3, 1e-2, 1e-1, 1};
constexpr std::size_t kLayerWindows = 2;  // by which layers are compared
constexpr double kShares[] = {0, 0.25, 0.5, 0.75, 1};

// Tokens of windows, but the first of each: what preceded, the state at the probe, what it cost.
struct Examples {
  std::vector<TokenContext> contexts;
  std::vector<float> states;   // normed
  std::vector<float> norms;    // their log
  std::vector<float> targets;  // log of the divergence
  std::size_t size() const { return targets.size(); }
};

class Collector {
 public:
  // Held against the planes of `more`, of which class 0 has some: remainders that make a matrix
  // exact take their time, and add little to what 8 bits say.
  Collector(std::shared_ptr<const loader::Model> model, std::size_t probe_layer,
            std::size_t context, std::uint32_t more)
      : more_(more),
        layers_(model->architecture().layers.size()),
        whole_(model, {.prefill_block = context}),
        less_(model, {.prefill_block = context}) {
    whole_.SetPlanes(more_);
    less_.SetPlanes(PlanesOfClass(0));
    less_.WatchLayers([this, probe_layer](std::size_t layer, Tensor& x) {
      if (layer == probe_layer) states_.assign(x.data(), x.data() + x.size());
      return true;
    });
  }

  Status Add(std::span<const TokenId> window, Examples& out) {
    INGOT_ASSIGN(const Tensor full, Run(whole_, window));
    INGOT_ASSIGN(const Tensor less, Run(less_, window));
    const std::size_t width = full.cols();
    for (std::size_t begin = 0; begin < window.size(); begin += kLogitRows) {
      const std::size_t end = std::min(begin + kLogitRows, window.size());
      const Tensor a = whole_.Logits(full, begin, end), b = less_.Logits(less, begin, end);
      // Row i says what token i costs, and what precedes token i + 1.
      for (std::size_t i = begin; i < end && i + 1 < window.size(); ++i)
        out.contexts.push_back(
            loader::ContextOf({a.row(i - begin), a.cols()}, window[i + 1], i + 1));
      for (std::size_t i = std::max<std::size_t>(begin, 1); i < end; ++i)
        out.targets.push_back(
            static_cast<float>(LogDivergence(a.row(i - begin), b.row(i - begin), a.cols())));
    }
    for (std::size_t i = 1; i < window.size(); ++i) {
      const std::size_t at = out.states.size();
      out.states.resize(at + width);
      out.norms.push_back(static_cast<float>(
          loader::NormState({&states_[i * width], width}, {&out.states[at], width})));
    }
    return OkStatus();
  }

  // Mean log divergence where one layer alone, or the head (the last), has class 0's planes.
  Result<double> OfLayer(std::size_t layer, std::span<const TokenId> window, const Tensor& full) {
    loader::Session& session = whole_;
    const auto all = [&](Tensor& x, std::uint32_t planes) {
      x.set_planes(std::make_shared<const std::vector<std::uint32_t>>(x.rows(), planes));
    };
    session.WatchLayers([&](std::size_t border, Tensor& x) {
      if (border + 1 == layer) all(x, PlanesOfClass(0));
      if (border == layer) all(x, more_);
      return true;
    });
    if (layer == 0) session.SetPlanes(PlanesOfClass(0));
    const auto changed = Run(session, window);
    session.SetPlanes(more_);
    session.WatchLayers({});
    INGOT_TRY(Status(changed.status()));
    double sum = 0;
    for (std::size_t begin = 0; begin < window.size(); begin += kLogitRows) {
      const std::size_t end = std::min(begin + kLogitRows, window.size());
      const Tensor a = session.Logits(full, begin, end), b = session.Logits(*changed, begin, end);
      for (std::size_t i = 0; i < a.rows(); ++i)
        sum += LogDivergence(a.row(i), b.row(i), a.cols());
    }
    return sum / static_cast<double>(window.size());
  }

  Result<Tensor> Whole(std::span<const TokenId> window) { return Run(whole_, window); }
  std::size_t layers() const { return layers_; }

 private:
  static Result<Tensor> Run(loader::Session& session, std::span<const TokenId> window) {
    session.Reset();
    auto hidden = session.Hidden(window, 0);
    INGOT_TRY(Status(session.runner().status()));
    return hidden;
  }

  std::uint32_t more_;
  std::size_t layers_;
  loader::Session whole_, less_;
  std::vector<float> states_;  // of the window at hand
};

// What is said of each token id: the mean of its tokens, drawn to the mean of all.
class TokenMeans {
 public:
  TokenMeans(const Examples& examples, std::size_t vocabulary)
      : sums_(vocabulary), counts_(vocabulary) {
    for (std::size_t i = 0; i < examples.size(); ++i) {
      sums_[Id(examples, i)] += examples.targets[i];
      ++counts_[Id(examples, i)];
      mean_ += examples.targets[i] / static_cast<double>(examples.size());
    }
  }
  double Of(std::size_t id) const { return Drawn(sums_[id], counts_[id]); }
  // Of all tokens of its id but this one, so that no token is told by itself.
  double Without(const Examples& examples, std::size_t i) const {
    const std::size_t id = Id(examples, i);
    return Drawn(sums_[id] - examples.targets[i], counts_[id] - 1);
  }
  std::vector<float> All() const {
    std::vector<float> all(sums_.size());
    for (std::size_t id = 0; id < all.size(); ++id) all[id] = static_cast<float>(Of(id));
    return all;
  }
  static std::size_t Id(const Examples& examples, std::size_t i) {
    return static_cast<std::size_t>(examples.contexts[i].id);
  }

 private:
  double Drawn(double sum, double count) const {
    return (sum + kPriorTokens * mean_) / (count + kPriorTokens);
  }
  std::vector<double> sums_, counts_;
  double mean_ = 0;
};

std::vector<float> Floats(std::span<const double> values) { return {values.begin(), values.end()}; }

// Ascending, the least and the largest included.
std::vector<float> QuantilesOf(std::vector<double> values) {
  std::ranges::sort(values);
  std::vector<float> quantiles;
  for (std::size_t i = 0; i < kQuantiles; ++i)
    quantiles.push_back(static_cast<float>(values[i * (values.size() - 1) / (kQuantiles - 1)]));
  return quantiles;
}

double CorrelationWith(const Examples& held, const std::vector<double>& said) {
  return Correlation(std::span<const double>(said), std::span<const float>(held.targets));
}

// A row of features: what precedes, and with `probe` the state.
std::vector<float> RowsOf(const Examples& examples, const std::vector<double>& of_token,
                          bool probe) {
  const std::size_t width = examples.states.size() / examples.size();
  std::vector<float> rows;
  rows.reserve(examples.size() * (kFeatures + (probe ? 1 + width : 0)));
  for (std::size_t i = 0; i < examples.size(); ++i) {
    for (const double f : loader::FeaturesOf(examples.contexts[i], of_token[i]))
      rows.push_back(static_cast<float>(f));
    if (!probe) continue;
    rows.push_back(examples.norms[i]);
    const float* state = &examples.states[i * width];
    rows.insert(rows.end(), state, state + width);
  }
  return rows;
}

std::vector<double> Say(const std::vector<float>& rows, std::span<const double> weights) {
  std::vector<double> said(rows.size() / weights.size());
  for (std::size_t e = 0; e < said.size(); ++e)
    for (std::size_t i = 0; i < weights.size(); ++i)
      said[e] += weights[i] * rows[e * weights.size() + i];
  return said;
}

// Fits what is said before the step and after the probe.
loader::ImportanceValues Learn(const Examples& learned, const Examples& held,
                               std::size_t vocabulary, ClassesJobResult& result) {
  const TokenMeans means(learned, vocabulary);
  std::vector<double> of_learned, of_held;
  for (std::size_t i = 0; i < learned.size(); ++i) of_learned.push_back(means.Without(learned, i));
  for (std::size_t i = 0; i < held.size(); ++i)
    of_held.push_back(means.Of(TokenMeans::Id(held, i)));
  loader::ImportanceValues values;
  values.token = means.All();
  result.id_correlation = CorrelationWith(held, of_held);
  const std::vector<float> before = RowsOf(learned, of_learned, false);
  const auto weights = Ridge(before, learned.targets, kFeatures).Fit(kFeatureRidge);
  values.weights = Floats(weights);
  values.quantiles = QuantilesOf(Say(before, weights));
  result.before_correlation = CorrelationWith(held, Say(RowsOf(held, of_held, false), weights));
  const std::vector<float> probed = RowsOf(learned, of_learned, true),
                           judged = RowsOf(held, of_held, true);
  const Ridge fit(probed, learned.targets, probed.size() / learned.size());
  result.probe_correlation = -2;
  for (const double ridge : kProbeRidges) {
    const auto probe = fit.Fit(ridge);
    const double correlation = CorrelationWith(held, Say(judged, probe));
    if (correlation <= result.probe_correlation) continue;
    result.probe_correlation = correlation;
    values.probe = Floats(probe);
    values.probe_quantiles = QuantilesOf(Say(judged, probe));
  }
  return values;
}

Status MeasureLayers(Collector& collector, const calibration::TokenWindows& text,
                     const Monitor& monitor, std::vector<float>& layers) {
  layers.assign(collector.layers() + 1, 0);
  const std::size_t windows = std::min(kLayerWindows, text.windows.size());
  for (std::size_t w = 0; w < windows; ++w) {
    INGOT_ASSIGN(const Tensor full, collector.Whole(text.windows[w]));
    for (std::size_t l = 0; l < layers.size(); ++l) {
      INGOT_TRY(monitor.Tell(
          {"disturbing", w * layers.size() + l, windows * layers.size(), "layers", 0, {}}));
      INGOT_ASSIGN(const double cost, collector.OfLayer(l, text.windows[w], full));
      layers[l] += static_cast<float>(cost / static_cast<double>(windows));
    }
  }
  return OkStatus();
}

Status MeasureMixes(std::shared_ptr<const loader::Model> model,
                    const loader::TokenImportance& importance,
                    const calibration::TokenWindows& text, std::size_t held_out,
                    const Monitor& monitor, std::vector<ClassMix>& mixes) {
  std::vector<TokenId> tokens;
  for (const auto& window : std::span(text.windows).last(held_out))
    tokens.insert(tokens.end(), window.begin(), window.end());
  loader::EvalOptions options;
  options.context = text.context;
  const auto whole = RememberedLogitsOf(model);
  for (const double share : kShares) {
    INGOT_TRY(monitor.Tell({"mixing", mixes.size(), std::size(kShares), "mixes", 0, {}}));
    auto policy = loader::PrecisionPolicy::ByImportance(importance, {share, 1, 1});
    SteppedLogits mixed(model, tokens, options, {.precision = &policy});
    INGOT_ASSIGN(const loader::EvalResult measured,
                 loader::Evaluate(*whole, mixed, tokens, options));
    mixes.push_back(
        {share, measured.kl_mean, measured.kl_mean_stderr, mixed.reads().bits_a_weight()});
  }
  return OkStatus();
}

Json Provenance(const ClassesJobOptions& job, const calibration::TokenWindows& text,
                const ClassesJobResult& result) {
  Json curve = Json::array();
  for (const ClassMix& mix : result.mixes)
    curve.push_back({{"share", mix.share}, {"kl", mix.kl}, {"bits", mix.bits_a_weight}});
  return {{"tool", job.tool},
          {"text", fmt::format("{}", fmt::join(text.sources, "; "))},
          {"text_digest", DigestOfWindows(text)},
          {"windows", result.windows},
          {"held_out", result.held_out},
          {"context", text.context},
          {"probe_after", result.probe_after},
          {"correlation",
           {{"id", result.id_correlation},
            {"before", result.before_correlation},
            {"probe", result.probe_correlation}}},
          {"curve", std::move(curve)}};
}

void AddTensors(const loader::ImportanceValues& values, pack::RewriteOptions& rewrite) {
  const auto add = [&](std::string_view name, const std::vector<float>& of, int layer = -1) {
    rewrite.added.push_back({std::string(name), "router", {of.size()}, layer, of});
    rewrite.left_out.insert(std::string(name));  // an earlier one
  };
  add(loader::kClassToken, values.token);
  add(loader::kClassWeights, values.weights);
  add(loader::kClassQuantiles, values.quantiles);
  add(loader::kClassProbe, values.probe, static_cast<int>(values.probe_layer));
  add(loader::kClassProbeQuantiles, values.probe_quantiles);
  if (!values.layers.empty()) add(loader::kClassLayers, values.layers);
  rewrite.left_out.insert(std::string(loader::kClassLayers));
}

// The first class that reads more than class 0. REQUIRES: CheckHasClasses.
std::uint32_t MoreThanClass0(const loader::Model& model) {
  const double least = loader::CostOfStep(model, PlanesOfClass(0)).weight_bytes;
  std::uint32_t c = 1;
  while (c + 1 < model::kTokenClasses &&
         loader::CostOfStep(model, PlanesOfClass(c)).weight_bytes <= least)
    ++c;
  return PlanesOfClass(c);
}

Result<std::size_t> ProbeAfter(const ClassesJobOptions& job, const loader::Model& model) {
  const model::Architecture& architecture = model.architecture();
  if (architecture.masked)
    return InvalidArgument("an encoder's tokens are run at once: they have no classes");
  INGOT_TRY(loader::CheckHasClasses(model));
  const std::size_t layers = architecture.layers.size();
  const std::size_t after =
      job.probe_after > 0 ? job.probe_after : std::max<std::size_t>(layers / 4, 1);
  if (after > layers)
    return InvalidArgument(fmt::format("a probe after layer {} of {}", after, layers));
  return after;
}

}  // namespace

Result<ClassesJobResult> RunClassesJob(const ClassesJobOptions& job, const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  INGOT_TRY(files::CheckMayWrite(job.output, job.force));
  if (job.texts.empty()) return InvalidArgument("classes are learned from a text: --text FILE");
  INGOT_ASSIGN(const std::shared_ptr<const artifact::ArtifactReader> reader,
               artifact::ArtifactReader::Open(job.artifact, {}));
  INGOT_ASSIGN(const auto model, loader::Model::FromArtifact(reader, {}, job.artifact));
  ClassesJobResult result;
  INGOT_ASSIGN(result.probe_after, ProbeAfter(job, *model).At(job.artifact));
  INGOT_ASSIGN(calibration::TokenWindows text,
               ReadWindows(job.texts, job.tokens, job.context, *model));
  result.windows = text.windows.size();
  result.held_out = HoldOut(text);
  Collector collector(model, result.probe_after - 1, job.context, MoreThanClass0(*model));
  Examples learned, held;
  for (std::size_t i = 0; i < result.windows; ++i) {
    INGOT_TRY(monitor.Tell({"reading", i, result.windows, "windows", 0, {}}));
    INGOT_TRY(
        collector.Add(text.windows[i], i + result.held_out < result.windows ? learned : held));
  }
  result.mean_kl = std::exp(std::accumulate(held.targets.begin(), held.targets.end(), 0.0) /
                            static_cast<double>(held.size()));
  loader::ImportanceValues values = Learn(learned, held, model->architecture().vocab_size, result);
  values.probe_layer = result.probe_after - 1;
  if (!job.tokens_only) {
    INGOT_TRY(MeasureLayers(collector, text, monitor, values.layers));
    INGOT_TRY(MeasureMixes(model, loader::TokenImportance(values), text, result.held_out, monitor,
                           result.mixes));
  }
  pack::RewriteOptions rewrite;
  AddTensors(values, rewrite);
  rewrite.target = job.output;
  rewrite.force = job.force;
  rewrite.key = job.sign;
  Json provenance = Provenance(job, text, result);
  provenance[artifact::kWeightsDigest] = artifact::WeightsDigest(*reader);
  rewrite.patch = [&](artifact::Manifest& manifest) {
    manifest.provenance["classes"] = provenance;
  };
  INGOT_ASSIGN(result.report, pack::Rewrite(*reader, {}, rewrite));
  return result;
}

}  // namespace ingot::jobs
