#include "jobs/routers_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <utility>

#include "artifact/reader.h"
#include "base/digest.h"
#include "base/parallel.h"
#include "calibration/text_source.h"
#include "loader/ingot.h"
#include "loader/kernels/vector_kernels.h"

namespace ingot::jobs {
namespace {

using artifact::Json;
using loader::RouterLabel;
using loader::Tensor;
using model::TokenId;

// Rows whose logits are there at once.
constexpr std::size_t kLogitRows = 64;
constexpr double kLeastKl = 1e-6;  // log of nothing
constexpr std::size_t kFifths = 5;

struct Exit {
  std::size_t layer = 0;
  std::vector<float> states;  // normed
  std::vector<float> targets;
};

// KL(softmax a || softmax b) in nats.
double Divergence(const float* a, const float* b, std::size_t n) {
  const loader::VectorKernels& kernels = loader::kVectorKernels.Best();
  const loader::LogitStats of_a = kernels.logit_stats(a, n), of_b = kernels.logit_stats(b, n);
  return kernels.weighted_difference(a, of_a.max, b, n) / of_a.sum_exp -
         (of_a.max + std::log(of_a.sum_exp)) + (of_b.max + std::log(of_b.sum_exp));
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

  Status Add(std::span<const TokenId> window) {
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
      else
        AddDivergences(states_[e], last, exit);
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

  void AddDivergences(const std::vector<float>& states, const Tensor& last, Exit& exit) {
    Tensor here = session_.runner().ops().MakeTensor(last.rows(), width());
    std::copy(states.begin(), states.end(), here.data());
    for (std::size_t begin = 0; begin < last.rows(); begin += kLogitRows) {
      const std::size_t end = std::min(begin + kLogitRows, last.rows());
      const Tensor a = session_.Logits(last, begin, end), b = session_.Logits(here, begin, end);
      const std::size_t first = exit.targets.size();
      exit.targets.resize(first + end - begin);
      ParallelFor(end - begin, 1, [&](std::size_t from, std::size_t to) {
        for (std::size_t r = from; r < to; ++r)
          exit.targets[first + r] = static_cast<float>(
              std::log(std::max(Divergence(a.row(r), b.row(r), a.cols()), kLeastKl)));
      });
    }
  }

  const RoutersJobOptions& options_;
  loader::Session session_;
  std::vector<float> ones_;
  std::vector<Exit> exits_;
  std::vector<std::vector<float>> states_;  // of the window at hand
};

double Correlation(std::span<const float> a, std::span<const float> b) {
  const auto n = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n;
  const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

RouterReport ReportOf(const Exit& exit, const calibration::TrainedRouter& router, bool classify) {
  const std::size_t held = router.held_out.size();
  const auto measured = std::span(exit.targets).last(held);
  RouterReport report;
  report.layer = exit.layer;
  report.mean_target =
      std::accumulate(measured.begin(), measured.end(), 0.0) / static_cast<double>(held);
  report.loss = router.loss;
  report.constant_loss = router.constant_loss;
  report.correlation = Correlation(router.held_out, measured);
  std::vector<std::size_t> order(held);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return router.held_out[i]; });
  for (std::size_t f = 0; f < kFifths; ++f) {
    const std::size_t begin = f * held / kFifths, end = (f + 1) * held / kFifths;
    double said = 0, is = 0;
    for (std::size_t i = begin; i < end; ++i) {
      const double raw = router.held_out[order[i]];
      said += classify ? 1 / (1 + std::exp(-raw)) : raw;
      is += measured[order[i]];
    }
    const auto count = static_cast<double>(std::max<std::size_t>(end - begin, 1));
    report.said.push_back(said / count);
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
}

Json Provenance(const RoutersJobOptions& job, const calibration::TokenWindows& text,
                const RoutersJobResult& result) {
  std::string ids;
  for (const auto& window : text.windows)
    ids.append(reinterpret_cast<const char*>(window.data()), window.size() * sizeof window[0]);
  Json exits = Json::array();
  for (const RouterReport& router : result.routers)
    exits.push_back({{"layer", router.layer},
                     {"mean_target", router.mean_target},
                     {"loss", router.loss},
                     {"constant_loss", router.constant_loss},
                     {"correlation", router.correlation}});
  Json json = {{"tool", job.tool},
               {"label", job.label == RouterLabel::kCosine ? "cosine" : "log_kl"},
               {"text", fmt::format("{}", fmt::join(text.sources, "; "))},
               {"text_digest", "blake3:" + HexOf(DigestOf(AsBytes(ids)))},
               {"windows", result.windows},
               {"held_out", result.held_out},
               {"context", text.context},
               {"seed", job.seed},
               {"exits", std::move(exits)}};
  if (job.label == RouterLabel::kCosine) json["cosine"] = job.cosine;
  return json;
}

Result<calibration::TokenWindows> TextOf(const RoutersJobOptions& job, const loader::Model& model) {
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, model.tokenizer());
  std::vector<calibration::TextSpec> specs;
  for (const std::string& text : job.texts) {
    INGOT_ASSIGN(calibration::TextSpec spec, calibration::ParseTextSpec(text));
    specs.push_back(std::move(spec));
  }
  INGOT_ASSIGN(calibration::TokenWindows windows,
               calibration::CutWindows(specs, *tokenizer, job.tokens, job.context));
  if (windows.windows.size() < 4)
    return InvalidArgument(
        fmt::format("{} windows of {} tokens: four are the least, one of them "
                    "held out",
                    windows.windows.size(), job.context));
  return windows;
}

Status CheckCanLeave(const RoutersJobOptions& job, const model::Architecture& architecture) {
  if (architecture.masked)
    return Unsupported("an encoder's tokens see each other: none leaves before the others");
  if (job.interval == 0) return InvalidArgument("exits after every 0 layers");
  const std::size_t first =
      CeilDiv(std::max(job.min_layers, job.interval), job.interval) * job.interval;
  if (first >= architecture.layers.size())
    return InvalidArgument(fmt::format("the first exit would be after layer {} of {}", first,
                                       architecture.layers.size()));
  return OkStatus();
}

// Every fourth window at the end, so that what is held out stands together. REQUIRES: four windows.
std::size_t HoldOut(calibration::TokenWindows& text) {
  std::vector<std::vector<TokenId>> learned, held;
  for (std::size_t i = 0; i < text.windows.size(); ++i)
    (i % 4 == 3 ? held : learned).push_back(std::move(text.windows[i]));
  const std::size_t count = held.size();
  text.windows = std::move(learned);
  std::ranges::move(held, std::back_inserter(text.windows));
  return count;
}

}  // namespace

Result<RoutersJobResult> RunRoutersJob(const RoutersJobOptions& job,
                                       const calibration::RouterTrainer& trainer,
                                       const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  std::error_code error;
  if (!job.force && std::filesystem::exists(job.output, error))
    return InvalidArgument(fmt::format("{}: exists; --force replaces it", job.output));
  INGOT_ASSIGN(const std::shared_ptr<const artifact::ArtifactReader> reader,
               artifact::ArtifactReader::Open(job.artifact, {}));
  INGOT_ASSIGN(const auto model, loader::Model::FromArtifact(reader));
  const std::size_t width = model->architecture().hidden_size;
  INGOT_TRY(CheckCanLeave(job, model->architecture()).At(job.artifact));
  INGOT_ASSIGN(calibration::TokenWindows text, TextOf(job, *model));
  RoutersJobResult result;
  result.windows = text.windows.size();
  result.held_out = HoldOut(text);
  Collector collector(model, job);
  for (std::size_t i = 0; i < result.windows; ++i) {
    INGOT_TRY(monitor.Tell({"reading", i, result.windows, "windows", 0, {}}));
    INGOT_TRY(collector.Add(text.windows[i]));
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
    rewrite.left_out.insert({old.norm, old.up, old.down});
  rewrite.target = job.output;
  rewrite.force = job.force;
  rewrite.key = job.sign;
  const Json provenance = Provenance(job, text, result);
  rewrite.patch = [&](artifact::Manifest& manifest) {
    manifest.exits = records;
    manifest.provenance["routers"] = provenance;
  };
  INGOT_ASSIGN(result.report, pack::Rewrite(*reader, {}, rewrite));
  return result;
}

}  // namespace ingot::jobs
