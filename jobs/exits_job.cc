#include "jobs/exits_job.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "artifact/reader.h"
#include "files/output.h"
#include "jobs/eval_text.h"
#include "jobs/paired_speed.h"
#include "jobs/session_logits.h"

namespace ingot::jobs {
namespace {

using artifact::Json;
using loader::ExitPolicy;
using loader::RouterLabel;
using model::TokenId;

std::vector<double> DefaultThresholds(RouterLabel label) {
  if (label == RouterLabel::kCosine) return {0.99, 0.95, 0.85, 0.7, 0.5, 0.3};
  return {0.003, 0.01, 0.03, 0.1, 0.3, 1};
}

class Frontier {
 public:
  Frontier(std::shared_ptr<const loader::Model> model, const ExitsJobOptions& options,
           const EvalText& text, const Monitor& monitor)
      : model_(std::move(model)),
        options_(options),
        text_(text),
        monitor_(monitor),
        whole_(LogitsOf(model_)) {}

  // The routers' point at a threshold, then by chance and at a depth with as many layers kept.
  Status Add(double threshold, std::vector<ExitPoint>& points) {
    INGOT_ASSIGN(ExitPolicy routers, Routers(threshold));
    INGOT_ASSIGN(ExitPoint point, Measure(routers));
    point.threshold = threshold;
    const double kept = point.kept_layers;
    const loader::ExitStats stats = routers.stats();
    some_leave_ = some_leave_ || !stats.none_left();
    some_stay_ = some_stay_ || !stats.all_left_at_once();
    INGOT_ASSIGN(ExitPolicy timed, Routers(threshold));
    INGOT_ASSIGN(point.speed, PairedSpeed(model_, text_.tokens, {.exits = &timed}, {}));
    points.push_back(point);
    ExitPolicy chance = ExitPolicy::ByChance(*model_, stats.chances(), 1);
    INGOT_ASSIGN(point, Measure(chance));
    point.rule = ExitPoint::Rule::kChance;
    point.threshold = threshold;
    points.push_back(point);
    std::vector<double> depth(layers());
    depth[std::min(static_cast<std::size_t>(std::lround(kept)), layers()) - 1] = 1;
    ExitPolicy fixed = ExitPolicy::ByChance(*model_, std::move(depth), 1);
    INGOT_ASSIGN(point, Measure(fixed));
    point.rule = ExitPoint::Rule::kDepth;
    point.threshold = threshold;
    points.push_back(point);
    return OkStatus();
  }

  // Routers that say nothing of the text, whatever was tried.
  void WarnIfUseless() const {
    if (!some_leave_)
      monitor_.Warn(
          "no token of the text leaves at any threshold that was tried: the routers never fire; "
          "--thresholds tries others");
    if (!some_stay_)
      monitor_.Warn(
          "all tokens of the text leave at one exit at every threshold that was tried: the routers "
          "always fire; --thresholds tries others");
  }

 private:
  std::size_t layers() const { return model_->architecture().layers.size(); }

  Result<ExitPolicy> Routers(double threshold) const {
    return ExitPolicy::Make(*model_, {threshold, options_.min_layers, options_.interval});
  }

  Result<ExitPoint> Measure(ExitPolicy& policy) {
    const auto leaving = LogitsOf(model_, &policy);
    loader::EvalOptions options;
    options.context = options_.context;
    options.bos_id = text_.bos_id;
    options.max_tokens = options_.tokens;
    options.progress = [&](std::size_t done, std::size_t windows) {
      return monitor_.Tell({"leaving", done, windows, "windows", 0, {}});
    };
    ExitPoint point;
    INGOT_ASSIGN(point.measured, loader::Evaluate(*whole_, *leaving, text_.tokens, options));
    point.kept_layers = policy.stats().kept_layers();
    return point;
  }

  std::shared_ptr<const loader::Model> model_;
  const ExitsJobOptions& options_;
  const EvalText& text_;
  const Monitor& monitor_;
  std::unique_ptr<loader::LogitSource> whole_;
  bool some_leave_ = false, some_stay_ = false;
};

std::optional<double> Choose(const std::vector<ExitPoint>& points, double max_kl) {
  const ExitPoint* best = nullptr;
  for (const ExitPoint& point : points) {
    if (point.rule != ExitPoint::Rule::kRouters || point.measured.kl_mean > max_kl) continue;
    if (best == nullptr || point.kept_layers < best->kept_layers) best = &point;
  }
  if (best == nullptr) return std::nullopt;
  return best->threshold;
}

Result<pack::RewriteReport> Write(const ExitsJobOptions& job,
                                  const artifact::ArtifactReader& reader,
                                  const ExitsJobResult& result) {
  if (!result.chosen)
    return InvalidArgument(
        fmt::format("no threshold keeps a divergence of {}: nothing is written; the least that was "
                    "tried gives {:.4g}",
                    *job.max_kl, result.points.front().measured.kl_mean));
  pack::RewriteOptions options;
  options.target = job.output;
  options.force = job.force;
  options.key = job.sign;
  const Json exits = {{"threshold", *result.chosen}, {"min_layers", job.min_layers},
                      {"interval", job.interval},    {"max_kl", *job.max_kl},
                      {"text", result.text},         {"tool", job.tool}};
  options.patch = [&](artifact::Manifest& manifest) { manifest.provenance["exits"] = exits; };
  return pack::Rewrite(reader, {}, options);
}

Status CheckOutput(const ExitsJobOptions& job) {
  if (job.max_kl && !(*job.max_kl > 0))
    return InvalidArgument(fmt::format("a divergence of {} nats to keep: above 0", *job.max_kl));
  if (job.output.empty()) return OkStatus();
  if (!job.max_kl)
    return InvalidArgument(job.output + ": which threshold belongs in it is for --max-kl to say");
  return files::CheckMayWrite(job.output, job.force);
}

}  // namespace

Result<ExitsJobResult> RunExitsJob(const ExitsJobOptions& job, const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  INGOT_TRY(CheckOutput(job));
  if (job.texts.empty()) return InvalidArgument("exits are measured on a text: --text FILE");
  INGOT_ASSIGN(const std::shared_ptr<const artifact::ArtifactReader> reader,
               artifact::ArtifactReader::Open(job.artifact, {}));
  INGOT_ASSIGN(const auto model, loader::Model::FromArtifact(reader, {}, job.artifact));
  INGOT_ASSIGN(const RouterLabel label, loader::RouterLabelOf(*model));
  INGOT_ASSIGN(const EvalText text, ReadTexts(*model, *model, job.texts));
  if (text.tokens.size() < kPacedPrompt + 1)
    return InvalidArgument(fmt::format("the texts have {} tokens", text.tokens.size()));
  ExitsJobResult result;
  result.layers = model->architecture().layers.size();
  result.text = text.origin;
  Frontier frontier(model, job, text, monitor);
  for (const double threshold : job.thresholds.empty() ? DefaultThresholds(label) : job.thresholds)
    INGOT_TRY(frontier.Add(threshold, result.points));
  if (job.max_kl) result.chosen = Choose(result.points, *job.max_kl);
  if (!job.output.empty()) {
    INGOT_ASSIGN(result.report, Write(job, *reader, result));
  }
  frontier.WarnIfUseless();
  return result;
}

}  // namespace ingot::jobs
