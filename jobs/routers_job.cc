#include "jobs/routers_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "artifact/reader.h"
#include "artifact/weights_digest.h"
#include "base/parallel.h"
#include "calibration/text_source.h"
#include "files/output.h"
#include "jobs/correlation.h"
#include "jobs/held_out_text.h"
#include "jobs/logit_divergence.h"
#include "loader/exit_translator.h"
#include "loader/ingot.h"
#include "loader/kernels/vector_kernels.h"
#include "loader/precision/token_importance.h"

namespace ingot::jobs {
namespace {

using artifact::Json;
using loader::RouterLabel;
using loader::Tensor;
using model::TokenId;

// Rows whose logits are there at once.
constexpr std::size_t kLogitRows = 64;
constexpr std::size_t kFifths = 5;

struct Exit {
  std::size_t layer = 0;
  std::vector<float> states;  // normed
  std::vector<float> targets;
  std::optional<calibration::TrainedTranslator> translator;
  // Of held-out tokens, sums of divergences.
  double identity_kl = 0, translated_kl = 0;
};

loader::ExitTranslator TranslatorOf(const calibration::TrainedTranslator& trained) {
  return {trained.down, trained.up, trained.bias};
}

double Cosine(const float* a, const float* b, std::size_t n) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < n; ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::max(std::sqrt(aa * bb), 1e-30);
}

// What the artifact makes of windows of text, at each exit.
class Collector {
 public:
  Collector(std::shared_ptr<const loader::Model> model, const RoutersJobOptions& options)
      : options_(options), session_(model, {.prefill_block = options.context}) {
    const model::Architecture& architecture = model->architecture();
    ones_.assign(architecture.hidden_size, 1.0f);
    for (std::size_t run = options.interval; run < architecture.layers.size();
         run += options.interval)
      if (run >= options.min_layers) exits_.push_back({run - 1, {}, {}});
    states_.resize(exits_.size());
    session_.WatchLayers([this](std::size_t layer, Tensor& x) {
      for (std::size_t e = 0; e < exits_.size(); ++e)
        if (exits_[e].layer == layer) states_[e].assign(x.data(), x.data() + x.size());
      return true;
    });
  }

  std::vector<Exit>& exits() { return exits_; }

  // Pairs of states, over their root mean square, for translators: of each exit and of the last
  // layer.
  Status AddPairs(std::span<const TokenId> window, std::vector<std::vector<float>>& states,
                  std::vector<float>& last) {
    session_.Reset();
    INGOT_ASSIGN(const Tensor hidden, session_.Hidden(window, 0));
    states.resize(exits_.size());
    const auto add = [&](const float* from, std::vector<float>& to) {
      for (std::size_t r = 0; r < window.size(); ++r) {
        to.resize(to.size() + width());
        loader::NormState({from + r * width(), width()},
                          {to.data() + to.size() - width(), width()});
      }
    };
    for (std::size_t e = 0; e < exits_.size(); ++e) add(states_[e].data(), states[e]);
    add(hidden.data(), last);
    return Status(session_.runner().status());
  }

  // `judged`: the window is held out.
  Status Add(std::span<const TokenId> window, bool judged) {
    session_.Reset();
    INGOT_ASSIGN(const Tensor last, session_.Hidden(window, 0));
    std::vector<float> normed(last.size()), normed_last(last.size());
    NormAll(last.data(), last.rows(), normed_last.data());
    for (std::size_t e = 0; e < exits_.size(); ++e) {
      NormAll(states_[e].data(), last.rows(), normed.data());
      Exit& exit = exits_[e];
      exit.states.insert(exit.states.end(), normed.begin(), normed.end());
      if (options_.label == RouterLabel::kCosine)
        AddCosines(normed, normed_last, last.rows(), exit);
      if (options_.label != RouterLabel::kCosine || judged)
        INGOT_TRY(AddDivergences(states_[e], last, judged, exit));
    }
    return Status(session_.runner().status());
  }

 private:
  std::size_t width() const { return ones_.size(); }

  // As the routers' norm will (loader/exit_specs.h), its weights being ones.
  void NormAll(const float* x, std::size_t rows, float* y) const {
    const model::NormSpec& norm = session_.model().architecture().final_norm;
    const auto eps = static_cast<float>(norm.eps);
    const loader::VectorKernels& kernels = loader::kVectorKernels.Best();
    for (std::size_t r = 0; r < rows; ++r)
      if (norm.present() && norm.kind == model::NormKind::kLayer)
        kernels.layer_norm(x + r * width(), ones_.data(), nullptr, 0, eps, width(),
                           y + r * width());
      else
        kernels.rms_norm(x + r * width(), ones_.data(), 0, eps, width(), y + r * width());
  }

  void AddCosines(const std::vector<float>& normed, const std::vector<float>& last,
                  std::size_t rows, Exit& exit) const {
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t at = r * width();
      const bool arrived = Cosine(&normed[at], &last[at], width()) >= options_.cosine;
      exit.targets.push_back(arrived ? 1 : 0);
    }
  }

  // Of tokens that leave here with what their head sees from the last layer's: the targets, where
  // the label is that; of judged windows, sums.
  Status AddDivergences(const std::vector<float>& states, const Tensor& last, bool judged,
                        Exit& exit) {
    Tensor here = session_.runner().ops().MakeTensor(last.rows(), width());
    std::copy(states.begin(), states.end(), here.data());
    std::vector<float> logs;
    if (judged || !exit.translator) exit.identity_kl += Diverge(last, here, judged, logs);
    if (exit.translator) {
      TranslatorOf(*exit.translator).Apply(here);
      exit.translated_kl += Diverge(last, here, judged, logs);
    }
    if (options_.label == RouterLabel::kLogKl)
      exit.targets.insert(exit.targets.end(), logs.begin(), logs.end());
    return Status(session_.runner().status());
  }

  // Logs of the rows' divergences, and of judged ones the divergences' sum.
  double Diverge(const Tensor& last, const Tensor& here, bool judged, std::vector<float>& logs) {
    logs.resize(last.rows());
    for (std::size_t begin = 0; begin < last.rows(); begin += kLogitRows) {
      const std::size_t end = std::min(begin + kLogitRows, last.rows());
      const Tensor a = session_.Logits(last, begin, end), b = session_.Logits(here, begin, end);
      ParallelFor(end - begin, 1, [&](std::size_t from, std::size_t to) {
        for (std::size_t r = from; r < to; ++r)
          logs[begin + r] = static_cast<float>(LogDivergence(a.row(r), b.row(r), a.cols()));
      });
    }
    double sum = 0;
    for (std::size_t r = 0; judged && r < logs.size(); ++r) sum += std::exp(double{logs[r]});
    return sum;
  }

  const RoutersJobOptions& options_;
  loader::Session session_;
  std::vector<float> ones_;
  std::vector<Exit> exits_;
  std::vector<std::vector<float>> states_;  // of the window at hand
};

RouterReport ReportOf(const Exit& exit, const calibration::TrainedRouter& router, bool classify) {
  const std::size_t held = router.held_out.size();
  const auto measured = std::span(exit.targets).last(held);
  RouterReport report;
  report.layer = exit.layer;
  report.mean_target =
      std::accumulate(measured.begin(), measured.end(), 0.0) / static_cast<double>(held);
  report.loss = router.loss;
  report.identity_kl = exit.identity_kl / static_cast<double>(held);
  report.translated_kl = exit.translated_kl / static_cast<double>(held);
  report.constant_loss = router.constant_loss;
  const auto said = [&](double raw) { return classify ? 1 / (1 + std::exp(-raw)) : raw; };
  const auto [least, most] = std::ranges::minmax(router.held_out);
  report.least_said = said(least);
  report.most_said = said(most);
  report.correlation = Correlation(std::span<const float>(router.held_out), measured);
  std::vector<std::size_t> order(held);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return router.held_out[i]; });
  for (std::size_t f = 0; f < kFifths; ++f) {
    const std::size_t begin = f * held / kFifths, end = (f + 1) * held / kFifths;
    double sum = 0, is = 0;
    for (std::size_t i = begin; i < end; ++i) {
      sum += said(router.held_out[order[i]]);
      is += measured[order[i]];
    }
    const auto count = static_cast<double>(std::max<std::size_t>(end - begin, 1));
    report.said.push_back(sum / count);
    report.measured.push_back(is / count);
  }
  return report;
}

std::string NameOf(std::size_t layer, const char* part) {
  return fmt::format("exit.{}.{}", layer, part);
}

void AddTensors(const Exit& exit, const calibration::TrainedRouter& router, std::size_t width,
                pack::RewriteOptions& options) {
  const auto layer = static_cast<int>(exit.layer);
  const std::size_t inner = router.down.size();
  options.added.push_back(
      {NameOf(exit.layer, "norm"), "vector", {width}, layer, std::vector<float>(width, 1.0f)});
  options.added.push_back({NameOf(exit.layer, "up"), "router", {inner, width}, layer, router.up});
  options.added.push_back({NameOf(exit.layer, "down"), "router", {1, inner}, layer, router.down});
  if (!exit.translator) return;
  const calibration::TrainedTranslator& translator = *exit.translator;
  const std::string name = NameOf(exit.layer, "up");
  const auto add = [&](const char* part, std::vector<std::uint64_t> shape,
                       const std::vector<float>& values) {
    options.added.push_back({name + part, "router", std::move(shape), layer, values});
  };
  add(loader::kTranslatorDown, {translator.rank, width}, translator.down);
  add(loader::kTranslatorUp, {width, translator.rank}, translator.up);
  add(loader::kTranslatorBias, {width}, translator.bias);
}

Json Provenance(const RoutersJobOptions& job, const calibration::TokenWindows& text,
                const RoutersJobResult& result) {
  Json exits = Json::array();
  for (const RouterReport& router : result.routers)
    exits.push_back({{"layer", router.layer},
                     {"mean_target", router.mean_target},
                     {"loss", router.loss},
                     {"constant_loss", router.constant_loss},
                     {"identity_kl", router.identity_kl},
                     {"translated_kl", router.translated_kl},
                     {"correlation", router.correlation}});
  Json json = {{"tool", job.tool},
               {"label", job.label == RouterLabel::kCosine ? "cosine" : "log_kl"},
               {"strategy", job.translator ? "translator" : "identity"},
               {"text", fmt::format("{}", fmt::join(text.sources, "; "))},
               {"text_digest", DigestOfWindows(text)},
               {"windows", result.windows},
               {"held_out", result.held_out},
               {"context", text.context},
               {"seed", job.seed},
               {"exits", std::move(exits)}};
  if (job.label == RouterLabel::kCosine) json["cosine"] = job.cosine;
  return json;
}

// Of each exit, from all windows.
Status TrainTranslators(const RoutersJobOptions& job, const loader::Model& model,
                        const calibration::TokenWindows& text, std::size_t held_out,
                        const Monitor& monitor, Collector& collector) {
  std::vector<std::vector<float>> states;
  std::vector<float> last;
  const std::size_t windows = text.windows.size();
  for (std::size_t i = 0; i < windows; ++i) {
    INGOT_TRY(monitor.Tell({"pairing", i, windows, "windows", 0, {}}));
    INGOT_TRY(collector.AddPairs(text.windows[i], states, last));
  }
  const model::Architecture& architecture = model.architecture();
  if (!architecture.final_norm.present())
    return InvalidArgument("a model without a norm before its head has no state to translate to");
  const loader::BoundWeights::Norm& norm = model.bound().Of(architecture.final_norm);
  std::vector<float> weights(norm.weight, norm.weight + norm.size);
  for (float& weight : weights) weight += static_cast<float>(architecture.final_norm.weight_offset);
  std::vector<Exit>& exits = collector.exits();
  for (std::size_t e = 0; e < exits.size(); ++e) {
    INGOT_TRY(monitor.Tell({"translating", e, exits.size(), "exits", 0, {}}));
    INGOT_ASSIGN(exits[e].translator,
                 job.translator({weights.size(), states[e], last, weights, held_out * text.context},
                                job.rank)
                     .At(fmt::format("the exit after layer {}", exits[e].layer + 1)));
  }
  return OkStatus();
}

Status CheckCanLeave(const RoutersJobOptions& job, const model::Architecture& architecture) {
  if (architecture.masked)
    return InvalidArgument("an encoder's tokens see each other: none leaves before the others");
  if (job.interval == 0) return InvalidArgument("exits after every 0 layers");
  const std::size_t first =
      CeilDiv(std::max(job.min_layers, job.interval), job.interval) * job.interval;
  if (first >= architecture.layers.size())
    return InvalidArgument(fmt::format("the first exit would be after layer {} of {}", first,
                                       architecture.layers.size()));
  return OkStatus();
}

}  // namespace

Result<RoutersJobResult> RunRoutersJob(const RoutersJobOptions& job,
                                       const calibration::RouterTrainer& trainer,
                                       const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  INGOT_TRY(files::CheckMayWrite(job.output, job.force));
  INGOT_ASSIGN(const std::shared_ptr<const artifact::ArtifactReader> reader,
               artifact::ArtifactReader::Open(job.artifact, {}));
  INGOT_ASSIGN(const auto model, loader::Model::FromArtifact(reader, {}, job.artifact));
  const std::size_t width = model->architecture().hidden_size;
  INGOT_TRY(CheckCanLeave(job, model->architecture()).At(job.artifact));
  INGOT_ASSIGN(calibration::TokenWindows text,
               ReadWindows(job.texts, job.tokens, job.context, *model));
  RoutersJobResult result;
  result.windows = text.windows.size();
  result.held_out = HoldOut(text);
  Collector collector(model, job);
  if (job.translator)
    INGOT_TRY(TrainTranslators(job, *model, text, result.held_out, monitor, collector));
  for (std::size_t i = 0; i < result.windows; ++i) {
    INGOT_TRY(monitor.Tell({"reading", i, result.windows, "windows", 0, {}}));
    INGOT_TRY(collector.Add(text.windows[i], i + result.held_out >= result.windows));
  }
  pack::RewriteOptions rewrite;
  std::vector<artifact::ExitRecord> records;
  const bool classify = job.label == RouterLabel::kCosine;
  const std::size_t exits = collector.exits().size();
  for (std::size_t e = 0; e < exits; ++e) {
    const Exit& exit = collector.exits()[e];
    INGOT_TRY(monitor.Tell({"training", e, exits, "routers", 0, {}}));
    calibration::RouterOptions options;
    options.classify = classify;
    options.seed = job.seed + e;
    INGOT_ASSIGN(const calibration::TrainedRouter router,
                 trainer({width, exit.states, exit.targets, result.held_out * job.context}, options)
                     .At(fmt::format("the exit after layer {}", exit.layer + 1)));
    result.routers.push_back(ReportOf(exit, router, classify));
    AddTensors(exit, router, width, rewrite);
    records.push_back({static_cast<int>(exit.layer), NameOf(exit.layer, "norm"),
                       NameOf(exit.layer, "up"), NameOf(exit.layer, "down")});
  }
  for (const artifact::ExitRecord& old : reader->manifest().exits)
    rewrite.left_out.insert({old.norm, old.up, old.down, old.up + loader::kTranslatorDown,
                             old.up + loader::kTranslatorUp, old.up + loader::kTranslatorBias});
  rewrite.target = job.output;
  rewrite.force = job.force;
  rewrite.key = job.sign;
  Json provenance = Provenance(job, text, result);
  provenance[artifact::kWeightsDigest] = artifact::WeightsDigest(*reader);
  rewrite.patch = [&](artifact::Manifest& manifest) {
    manifest.exits = records;
    manifest.provenance["routers"] = provenance;
  };
  INGOT_ASSIGN(result.report, pack::Rewrite(*reader, {}, rewrite));
  return result;
}

}  // namespace ingot::jobs
