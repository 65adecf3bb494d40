#include "jobs/pack_job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "files/temporary.h"
#include "model/families/known_keys.h"
#include "model/source/checkpoint.h"
#include "model/source/checkpoint_note.h"
#include "model/tokenizer/tokenizer.h"
#include "pack/slab_source.h"
#include "untrusted/text_input.h"

namespace ingot::jobs {
namespace {

// --max-kl kept by --measure: packs at most, and what the first correction adds to the measured
// excess; each further one adds four times as much, so that they end.
constexpr int kMostPacks = 5;
constexpr double kFirstMargin = 0.01;

// A job under way: what is asked, and what was learned about the model for it.
struct Work {
  PackJobOptions options;  // a target that is spent as a budget is one here
  std::unique_ptr<model::Checkpoint> checkpoint;
  pack::PlanOptions plan;
  std::optional<BudgetCurves> curves;  // where a budget is to be spent, or swept
};

// An artifact must not carry a tokenizer that no loader can read; one of a kind that this build
// does not know may serve others.
Status CheckTokenizer(const model::Checkpoint& checkpoint, const Monitor& monitor) {
  if (!model::Tokenizer::IsIn(checkpoint.assets())) return OkStatus();  // planning says so
  const auto tokenizer = model::Tokenizer::FromAssets(checkpoint.assets());
  const Status status =
      tokenizer.ok() ? (*tokenizer)->Encode("a", true).status() : tokenizer.status();
  if (status.ok()) return status;
  if (status.code() == StatusCode::kUnsupported) {
    monitor.Warn("the tokenizer is stored, but not understood: " + status.message());
    return OkStatus();
  }
  return Status(status.code(), fmt::format("{}: {}; or pack without a look at it: --no-tokenizer",
                                           checkpoint.path(), status.message()));
}

// Once for a job: what of the source is left aside.
void TellNotes(const model::Checkpoint& checkpoint, const Monitor& monitor) {
  const auto has = [&](std::string_view name) { return checkpoint.Find(name) != nullptr; };
  for (const std::string& note :
       {model::NoteOf(checkpoint), model::NoteOnKeys(checkpoint.config(), has)})
    if (!note.empty()) monitor.Warn(note);
}

Result<Work> Prepare(const PackJobOptions& options, bool sweeps, const Monitor& monitor) {
  Work work{options, nullptr, {}, {}};
  INGOT_TRY(monitor.Check());
  for (const std::string& text : options.measure.texts)
    INGOT_TRY(untrusted::ReadText(text).status().At("--measure"));
  INGOT_ASSIGN(work.checkpoint, model::Checkpoint::Open(options.model));
  if (options.require_tokenizer) INGOT_TRY(CheckTokenizer(*work.checkpoint, monitor));
  TellNotes(*work.checkpoint, monitor);
  if (options.calibrate) {
    // Beside the artifact, so that the next pack of this model can take it.
    work.options.statistics = options.output + ".stats.safetensors";
    INGOT_TRY(options.calibrate(work.options.statistics));
    INGOT_TRY(monitor.Check());
  }
  SpendTargetByStatistics(work.options);
  const bool by_budget = sweeps || work.options.budget.given();
  INGOT_ASSIGN(work.plan, PlanOptionsOf(work.options, by_budget));
  if (by_budget) {
    INGOT_ASSIGN(work.curves, MeasureBudget(*work.checkpoint, options.recipe, options.memory_bytes,
                                            work.plan, monitor));
  }
  return work;
}

// The plan, corrected by what was measured of an earlier one.
Result<pack::PackPlan> PlanOf(const Work& work, double correction, const Monitor& monitor) {
  pack::PlanOptions options = work.plan;
  if (work.curves.has_value())
    INGOT_TRY(ChooseByBudget(*work.curves, work.options.budget, correction, options));
  INGOT_ASSIGN(pack::PackPlan plan, pack::MakePlan(*work.checkpoint, options));
  for (const std::string& name : plan.unused)
    monitor.Note(name + " is not used by the model and left out");
  if (!work.options.allow_nonfinite) return plan;
  INGOT_ASSIGN(options.nonfinite, pack::FindNonfiniteTensors(*work.checkpoint, plan));
  for (const std::string& name : options.nonfinite)
    monitor.Warn(name + " holds NaN or infinity and is kept as it is");
  return pack::MakePlan(*work.checkpoint, options);
}

// One pack of a plan. Where it is measured, `measured` is what its draft costs, and an artifact
// over `most_kl` is not finished: Limit.
Result<pack::PackReport> PackOnce(const Work& work, const pack::PackPlan& plan, double most_kl,
                                  pack::Json& measured, const Monitor& monitor) {
  pack::PackOptions options;
  options.target = work.options.output;
  options.force = work.options.force;
  options.tool = work.options.tool;
  options.memory_bytes = work.options.memory_bytes;
  options.key = work.options.key;
  options.progress = [&](const pack::PackProgress& p) {
    return monitor.Tell(
        {"packing", p.bytes_done, p.bytes_total, kBytes, p.bytes_resumed, p.tensor});
  };
  if (!work.options.measure.texts.empty())
    options.measure = [&](const std::string& draft) -> Result<pack::Json> {
      INGOT_ASSIGN(measured,
                   MeasureArtifact(draft, work.options.model, work.options.measure, monitor));
      const double kl = measured["kl_mean"].get<double>();
      if (kl > most_kl)
        return LimitExceeded(
            fmt::format("measured KL divergence {:.4g} is over --max-kl {:.4g}", kl, most_kl));
      return measured;
    };
  INGOT_TRY(monitor.Check());
  return pack::Pack(*work.checkpoint, plan, options);
}

// Plans and packs, and where max_kl is to be kept by measurement, again.
Result<PackJobResult> PackWithin(const Work& work, const Monitor& monitor) {
  const PackJobOptions& asked = work.options;
  const bool bounded = asked.budget.max_kl > 0 && !asked.measure.texts.empty();
  const double most_kl = bounded ? asked.budget.max_kl : std::numeric_limits<double>::infinity();
  double correction = 1;
  for (int packs = 1;; ++packs) {
    INGOT_ASSIGN(const pack::PackPlan plan, PlanOf(work, correction, monitor));
    pack::Json measured;
    auto report = PackOnce(work, plan, most_kl, measured, monitor);
    if (report.ok()) return PackJobResult{*std::move(report), std::move(measured), packs};
    const double kl = bounded && measured.is_object() ? measured["kl_mean"].get<double>() : 0;
    if (kl <= most_kl || packs == kMostPacks) return std::move(report).status();
    const double predicted = plan.allocation["predicted_loss"].get<double>();
    correction *= (1 + kFirstMargin * std::pow(4, packs - 1)) * kl / predicted;
    monitor.Note(
        fmt::format("measured KL {:.4g} against {:.4g} predicted: packing again", kl, predicted));
  }
}

// Packs beside the output, which is then the tuned one, and removes what it packed.
Result<PackJobResult> PackTuned(Work work, const Monitor& monitor) {
  if (!work.options.force && ::access(work.options.output.c_str(), F_OK) == 0)
    return InvalidArgument(fmt::format("{}: exists; --force replaces it", work.options.output));
  work.options.output += ".untuned";
  // What is there already is not ours to replace: it would be removed afterwards.
  if (::access(work.options.output.c_str(), F_OK) == 0)
    return InvalidArgument(
        fmt::format("{}: is where the artifact is packed before it is tuned; move it away",
                    work.options.output));
  work.options.key = nullptr;
  INGOT_ASSIGN(PackJobResult result, PackWithin(work, monitor));
  const files::Tracked tracked(work.options.output, files::Fate::kRemoved);
  Status tuned = monitor.Check();
  if (tuned.ok()) tuned = work.options.tune(work.options.output);
  ::unlink(work.options.output.c_str());
  INGOT_TRY(std::move(tuned));
  return result;
}

}  // namespace

Result<PackJobResult> RunPackJob(const PackJobOptions& options, const Monitor& monitor) {
  INGOT_ASSIGN(Work work, Prepare(options, /*sweeps=*/false, monitor));
  if (options.tune) return PackTuned(std::move(work), monitor);
  return PackWithin(work, monitor);
}

Result<pack::PackPlan> RunPlanJob(const PackJobOptions& options, const Monitor& monitor) {
  INGOT_ASSIGN(const Work work, Prepare(options, /*sweeps=*/false, monitor));
  return PlanOf(work, /*correction=*/1, monitor);
}

Result<std::vector<BudgetPoint>> RunSweepJob(const PackJobOptions& options,
                                             const Monitor& monitor) {
  INGOT_ASSIGN(const Work work, Prepare(options, /*sweeps=*/true, monitor));
  return SweepBudget(*work.curves);
}

}  // namespace ingot::jobs
