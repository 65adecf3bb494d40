#include "jobs/pack_job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "calibration/cpu/forward_calibration.h"
#include "calibration/statistics_writer.h"
#include "files/temporary.h"
#include "jobs/calibration_setup.h"
#include "model/families/known_keys.h"
#include "model/source/checkpoint.h"
#include "model/source/checkpoint_note.h"
#include "model/tokenizer/tokenizer.h"
#include "pack/slab_source.h"
#include "pack/source_files.h"
#include "untrusted/text_input.h"

namespace ingot::jobs {
namespace {

// --max-kl kept by --measure: packs at most, and what the first correction adds to the measured
// excess; each further one adds four times as much, so that they end.
constexpr int kMostPacks = 5;
constexpr double kFirstMargin = 0.01;
// Windows of the model's own text that a pack is measured by.
constexpr std::size_t kHeldOut = 4;

// A job under way: what is asked, and what was learned about the model for it.
struct Work {
  PackJobOptions options;  // a target that is spent as a budget is one here
  std::unique_ptr<model::Checkpoint> checkpoint;
  pack::PlanOptions plan;
  std::optional<BudgetCurves> curves;  // where a budget is to be spent, or swept
  files::Tracked taken;  // statistics that go with the pack; a killed one finds them
  bool drops_statistics = false;
  bool plans_unlearned = false;  // statistics would be taken first
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

// Statistics that are kept, for the next pack; others go with the pack, under a name that nobody
// else uses.
std::string StatisticsBeside(const PackJobOptions& options, bool keep) {
  return options.output + (keep ? ".stats.safetensors" : ".learned");
}

// Why the model cannot write a text of its own; empty where it can.
std::string WhyNoOwnText(const model::Checkpoint& checkpoint,
                         const model::Architecture& architecture) {
  if (architecture.masked) return "an encoder writes no text of its own";
  const auto tokenizer = model::Tokenizer::FromAssets(checkpoint.assets());
  if (!tokenizer.ok()) return "without a tokenizer there is no text to learn from";
  if ((*tokenizer)->bos_id() < 0 && (*tokenizer)->eos_ids().empty())
    return "its tokenizer has no token to begin a text with";
  return {};
}

// What is asked of a job beside its options.
enum class Purpose { kPack, kPlan, kSweep };

// Refuses, before a word is said and minutes of learning, what the pack would refuse after them.
Status CheckBefore(const Work& work, bool learns) {
  const PackJobOptions& options = work.options;
  if (!options.force && ::access(options.output.c_str(), F_OK) == 0)
    return InvalidArgument(fmt::format("{}: exists; --force replaces it", options.output));
  INGOT_TRY(pack::CheckNotSource(*work.checkpoint, options.output));
  PackJobOptions known = options;
  if (learns) known.statistics = "to come";
  SpendTargetByStatistics(known);
  const bool by_budget = known.budget.given();
  known.statistics.clear();
  INGOT_ASSIGN(pack::PlanOptions plan, PlanOptionsOf(known, by_budget));
  plan.statistics_to_come = learns;
  return pack::MakePlan(*work.checkpoint, plan).status();
}

// The windows that a calibration kept for measuring.
Status TakeHeldOut(const CalibrateJobOptions& job, MeasureOptions& measure) {
  INGOT_ASSIGN(const std::vector<float> ids,
               calibration::ReadPartTensor(job.output, "held_out/ids"));
  for (std::size_t begin = 0; begin + job.context <= ids.size(); begin += job.context) {
    auto& window = measure.windows.emplace_back();
    for (std::size_t i = 0; i < job.context; ++i)
      window.push_back(static_cast<model::TokenId>(ids[begin + i]));
  }
  measure.origin = fmt::format("its own text, seed {}", job.seed);
  return OkStatus();
}

// What the pack will know, and where that is statistics of its own, takes them.
Status Learn(Work& work, const Monitor& monitor) {
  PackJobOptions& options = work.options;
  const auto tell = [&](Knowledge knowledge, const CalibrationPlan* plan, const std::string& why) {
    if (options.on_knowledge) options.on_knowledge(knowledge, plan, why);
  };
  const Knowledge wanted = KnowledgeOf(options);
  if (wanted == Knowledge::kNothing) INGOT_TRY(CheckBefore(work, /*learns=*/false));
  if (wanted != Knowledge::kInputs) {
    tell(wanted, nullptr, "");
    return OkStatus();
  }
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(*work.checkpoint));
  const LearnOptions& learn = options.learn;
  const bool own_text = learn.texts.empty() || learn.texts[0] == "self";
  if (const std::string why = own_text ? WhyNoOwnText(*work.checkpoint, architecture) : "";
      !why.empty()) {
    // A target is still kept by nearest rounding; what was asked for by name is not.
    if (!learn.texts.empty() || options.budget.given() || !options.recipe.codec.empty())
      return InvalidArgument(why + ": give --calib FILE" +
                             (architecture.masked ? "" : ", or --fast for nearest rounding"))
          .At(options.model);
    options.fast = true;
    INGOT_TRY(CheckBefore(work, /*learns=*/false));
    tell(Knowledge::kNothing, nullptr, why);
    return OkStatus();
  }
  CalibrateJobOptions job;
  job.model = options.model;
  job.output = StatisticsBeside(options, learn.keep);
  job.replace = !learn.keep || options.force;
  job.texts = learn.texts;
  job.context = learn.context;
  if (!architecture.position_embedding.empty())
    job.context = std::min<std::size_t>(job.context, architecture.max_positions);
  job.tokens = learn.tokens > 0 ? learn.tokens : own_text ? kSelfTokens : kTextTokens;
  job.seed = learn.seed;
  job.memory_bytes = learn.memory_bytes > 0
                         ? learn.memory_bytes
                         : std::max(options.memory_bytes, MemoryBound(std::nullopt));
  job.tool = options.tool;
  job.reuse = true;
  INGOT_TRY(CheckBefore(work, /*learns=*/true));
  const calibration::ForwardPlan plan = calibration::PlanForward(
      architecture, job.tokens / job.context, job.context, job.probe_tokens, own_text);
  const CalibrationPlan told{{}, *job.memory_bytes, plan.cost, {}, plan.seconds, false};
  tell(Knowledge::kInputs, &told, "");
  work.taken = files::Tracked(job.output, files::Fate::kResumed);
  work.drops_statistics = !learn.keep;
  // Its own text is there to be measured by, too.
  const bool measures = own_text && !options.measure.wanted() && !options.tune;
  job.held_out = measures ? kHeldOut : 0;
  // What was mended stands in the file's notes: a pack has more to say.
  Monitor quiet = monitor;
  quiet.warning = nullptr;
  INGOT_TRY(RunCalibrateJob(job, ForwardCalibrator(), quiet));
  options.statistics = job.output;
  if (measures) INGOT_TRY(TakeHeldOut(job, options.measure));
  return OkStatus();
}

Result<Work> Prepare(const PackJobOptions& options, Purpose purpose, const Monitor& monitor) {
  Work work{options, nullptr, {}, {}, {}, false, false};
  INGOT_TRY(monitor.Check());
  for (const std::string& text : options.measure.texts)
    INGOT_TRY(untrusted::ReadText(text).status().At("--measure"));
  INGOT_ASSIGN(work.checkpoint, model::Checkpoint::Open(options.model));
  if (options.require_tokenizer) INGOT_TRY(CheckTokenizer(*work.checkpoint, monitor));
  TellNotes(*work.checkpoint, monitor);
  if (options.calibrate) {
    // Beside the artifact, so that the next pack of this model can take it.
    work.options.statistics = StatisticsBeside(options, /*keep=*/true);
    INGOT_TRY(options.calibrate(work.options.statistics));
    INGOT_TRY(monitor.Check());
  }
  if (purpose == Purpose::kPack) {
    INGOT_TRY(Learn(work, monitor));
  } else if (purpose == Purpose::kPlan && KnowledgeOf(work.options) == Knowledge::kInputs &&
             !work.options.budget.given()) {
    work.plans_unlearned = true;
    if (work.options.recipe.codec.empty())
      monitor.Note("bits are spent by statistics, which a plan does not take: this is --fast's");
  }
  SpendTargetByStatistics(work.options);
  const bool by_budget = purpose == Purpose::kSweep || work.options.budget.given();
  INGOT_ASSIGN(work.plan, PlanOptionsOf(work.options, by_budget));
  work.plan.statistics_to_come = work.plans_unlearned;
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
  if (work.options.measure.wanted())
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
  const bool bounded = asked.budget.max_kl > 0 && asked.measure.wanted();
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
  INGOT_ASSIGN(Work work, Prepare(options, Purpose::kPack, monitor));
  const std::string taken = work.drops_statistics ? work.options.statistics : "";
  auto result = options.tune ? PackTuned(std::move(work), monitor) : PackWithin(work, monitor);
  // The same command finds them again where it can go on.
  const StatusCode code = result.status().code();
  if (!taken.empty() && code != kCancelled && code != StatusCode::kIo) ::unlink(taken.c_str());
  return result;
}

Result<pack::PackPlan> RunPlanJob(const PackJobOptions& options, const Monitor& monitor) {
  INGOT_ASSIGN(const Work work, Prepare(options, Purpose::kPlan, monitor));
  return PlanOf(work, /*correction=*/1, monitor);
}

Result<std::vector<BudgetPoint>> RunSweepJob(const PackJobOptions& options,
                                             const Monitor& monitor) {
  INGOT_ASSIGN(const Work work, Prepare(options, Purpose::kSweep, monitor));
  return SweepBudget(*work.curves);
}

}  // namespace ingot::jobs
