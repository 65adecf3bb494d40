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
#include "files/output.h"
#include "files/run_lock.h"
#include "files/temporary.h"
#include "jobs/calibration_setup.h"
#include "model/families/known_keys.h"
#include "model/source/checkpoint.h"
#include "model/source/checkpoint_note.h"
#include "model/tokenizer/tokenizer.h"
#include "pack/own_text.h"
#include "pack/size_estimate.h"
#include "pack/slab_source.h"
#include "pack/source_files.h"
#include "pack/source_summary.h"
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
  files::Tracked taken;                // statistics that go with the pack; a killed one finds them
  bool drops_statistics = false;
  bool writes = true;  // the output; a plan alone does not
  // For a plan alone: statistics would be taken first, and what that takes where it is known; bits
  // of a linear weight that they would spend, 0 where codecs say what they take.
  bool plans_unlearned = false;
  std::optional<CalibrationPlan> learning;
  double learned_bits = 0;
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

// What is asked of a job beside its options.
enum class Purpose { kPack, kPlan, kSweep };

// Refuses, before a word is said and minutes of learning, what the pack would refuse after them.
Status CheckBefore(const Work& work, bool learns) {
  const PackJobOptions& options = work.options;
  if (work.writes) INGOT_TRY(files::CheckMayWrite(options.output, options.force));
  if (work.writes) INGOT_TRY(pack::CheckNotSource(*work.checkpoint, options.output));
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

// The calibration that comes before the pack, where one does: says what will be known, and what
// that takes. Where a model that was to be learned cannot be, the options become those of --fast.
Result<std::optional<CalibrateJobOptions>> LearningOf(Work& work) {
  PackJobOptions& options = work.options;
  const auto tell = [&](Knowledge knowledge, const CalibrationPlan* plan, const std::string& why) {
    if (options.on_knowledge) options.on_knowledge(knowledge, plan, why);
  };
  const Knowledge wanted = KnowledgeOf(options);
  if (wanted == Knowledge::kNothing) INGOT_TRY(CheckBefore(work, /*learns=*/false));
  if (wanted != Knowledge::kInputs) {
    tell(wanted, nullptr, "");
    return std::optional<CalibrateJobOptions>();
  }
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(*work.checkpoint));
  const LearnOptions& learn = options.learn;
  INGOT_ASSIGN(const TextMix mix, ParseTexts(learn.texts));
  if (const std::string why = mix.own() ? pack::WhyNoOwnText(*work.checkpoint, architecture) : "";
      !why.empty()) {
    // A target is still kept by nearest rounding; what was asked for by name is not.
    if (!learn.texts.empty() || options.budget.given() || !options.recipe.codec.empty())
      return InvalidArgument(why + ": give --calib FILE" +
                             (architecture.masked ? "" : ", or --fast for nearest rounding"))
          .At(options.model);
    options.fast = true;
    INGOT_TRY(CheckBefore(work, /*learns=*/false));
    tell(Knowledge::kNothing, nullptr, why);
    return std::optional<CalibrateJobOptions>();
  }
  CalibrateJobOptions job;
  job.model = options.model;
  job.output = StatisticsBeside(options, learn.keep);
  job.replace = !learn.keep || options.force;
  job.texts = learn.texts;
  job.context = learn.context;
  if (!architecture.position_embedding.empty())
    job.context = std::min<std::size_t>(job.context, architecture.max_positions);
  job.tokens = LearnTokens(learn, mix);
  job.seed = learn.seed;
  job.memory_bytes = learn.memory_bytes > 0
                         ? learn.memory_bytes
                         : std::max(options.memory_bytes, MemoryBound(std::nullopt));
  job.tool = options.tool;
  job.reuse = true;
  INGOT_TRY(CheckBefore(work, /*learns=*/true));
  const std::size_t windows = job.tokens / job.context;
  const calibration::ForwardPlan plan = calibration::PlanForward(
      architecture, windows, job.context, job.probe_tokens, mix.OwnWindows(windows));
  work.learning = CalibrationPlan{{}, *job.memory_bytes, plan.cost, {}, plan.seconds, false};
  tell(Knowledge::kInputs, &*work.learning, "");
  return std::optional(job);
}

// Takes the statistics of the pack's own, where it is to have some.
Status Learn(Work& work, const Monitor& monitor) {
  INGOT_ASSIGN(std::optional<CalibrateJobOptions> job, LearningOf(work));
  if (!job.has_value()) return OkStatus();
  PackJobOptions& options = work.options;
  work.taken = files::Tracked(job->output, files::Fate::kResumed);
  work.drops_statistics = !options.learn.keep;
  // Its own text is there to be measured by, too.
  INGOT_ASSIGN(const TextMix mix, ParseTexts(job->texts));
  const bool measures = mix.own() && !options.measure.wanted() && !options.tune;
  job->held_out = measures ? kHeldOut : 0;
  // What was mended stands in the file's notes: a pack has more to say.
  Monitor quiet = monitor;
  quiet.warning = nullptr;
  INGOT_TRY(RunCalibrateJob(*job, ForwardCalibrator(), quiet));
  options.statistics = job->output;
  if (measures) INGOT_TRY(TakeHeldOut(*job, options.measure));
  return OkStatus();
}

// Bits of a linear weight that a budget comes to, before anything is learned.
double BitsOf(const BudgetGoal& budget, const model::Checkpoint& checkpoint,
              const model::Architecture& architecture, const Monitor& monitor) {
  if (budget.bits > 0) return budget.bits;
  if (budget.size_text.empty()) {
    const auto balanced =
        std::ranges::find(pack::Targets(), pack::kDefaultTarget, &pack::TargetInfo::name);
    monitor.Note(
        fmt::format("what --max-kl takes shows when the model is learned: this is the plan "
                    "at {} bits",
                    balanced->learned_bits));
    return balanced->learned_bits;
  }
  double weights = 0;
  for (const model::TensorUse& use : model::TensorUses(architecture))
    if (const model::TensorInfo* info = checkpoint.Find(use.name);
        info != nullptr && use.role != model::TensorRole::kVector)
      weights += static_cast<double>(info->elements());
  const double bytes = static_cast<double>(budget.size_bytes) - pack::EstimateOverhead(checkpoint);
  return std::max(0.1, 8 * bytes / std::max(weights, 1.0));
}

// The plan of a pack that would learn first, as far as it is known before.
Status PlanUnlearned(Work& work, const Monitor& monitor) {
  if (!work.options.calibrate) {
    INGOT_ASSIGN(const auto job, LearningOf(work));
    if (!job.has_value()) return OkStatus();
  }
  work.plans_unlearned = true;
  PackJobOptions known = work.options;
  known.statistics = "to come";
  SpendTargetByStatistics(known);
  work.options.budget = known.budget;
  work.options.target = known.target;
  work.options.calibrate = nullptr;
  if (!known.budget.given()) return OkStatus();
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(*work.checkpoint));
  work.learned_bits = BitsOf(known.budget, *work.checkpoint, architecture, monitor);
  return OkStatus();
}

Result<Work> Prepare(const PackJobOptions& options, Purpose purpose, const Monitor& monitor) {
  Work work;
  work.options = options;
  work.writes = purpose == Purpose::kPack;
  INGOT_TRY(monitor.Check());
  for (const std::string& text : options.measure.texts)
    INGOT_TRY(untrusted::ReadText(text).status().At("--measure"));
  INGOT_ASSIGN(work.checkpoint, model::Checkpoint::Open(options.model));
  if (options.require_tokenizer) INGOT_TRY(CheckTokenizer(*work.checkpoint, monitor));
  if (purpose == Purpose::kPack) INGOT_TRY(CheckMeasure(*work.checkpoint, options.measure));
  TellNotes(*work.checkpoint, monitor);
  if (options.calibrate && purpose != Purpose::kPlan) {
    // Beside the artifact, so that the next pack of this model can take it.
    work.options.statistics = StatisticsBeside(options, /*keep=*/true);
    INGOT_TRY(options.calibrate(work.options.statistics));
    INGOT_TRY(monitor.Check());
  }
  if (purpose == Purpose::kPack) INGOT_TRY(Learn(work, monitor));
  if (purpose == Purpose::kPlan &&
      (work.options.calibrate || KnowledgeOf(work.options) == Knowledge::kInputs))
    INGOT_TRY(PlanUnlearned(work, monitor));
  SpendTargetByStatistics(work.options);
  const bool by_budget = purpose == Purpose::kSweep || work.options.budget.given();
  codecs::RecipeOptions ladder = options.recipe;
  // Over all budgets it is what --bpw spends, unless a target says another.
  if (ladder.codec.empty() && (purpose != Purpose::kSweep || !options.target.empty()))
    ladder.codec = work.options.budget.codec;
  INGOT_ASSIGN(work.plan, PlanOptionsOf(work.options, by_budget));
  work.plan.statistics_to_come = work.plans_unlearned;
  if (work.learned_bits > 0) {
    INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(*work.checkpoint));
    work.plan.preset = pack::LearnedPreset(ladder, work.learned_bits,
                                           architecture.head.weight == architecture.embedding);
  } else if (by_budget) {
    INGOT_ASSIGN(work.curves, MeasureBudget(*work.checkpoint, ladder, options.memory_bytes,
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
  INGOT_TRY(files::CheckMayWrite(work.options.output, work.options.force));
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
  INGOT_ASSIGN(const files::RunLock lock,
               files::RunLock::Take(options.output, "is packing to this target"));
  INGOT_ASSIGN(Work work, Prepare(options, Purpose::kPack, monitor));
  const std::string taken = work.drops_statistics ? work.options.statistics : "";
  auto result = options.tune ? PackTuned(std::move(work), monitor) : PackWithin(work, monitor);
  // The same command finds them again where it can go on.
  const StatusCode code = result.status().code();
  if (!taken.empty() && code != kCancelled && code != StatusCode::kIo) ::unlink(taken.c_str());
  return result;
}

Result<PlanJobResult> RunPlanJob(const PackJobOptions& options, const Monitor& monitor) {
  INGOT_ASSIGN(Work work, Prepare(options, Purpose::kPlan, monitor));
  PlanJobResult result;
  INGOT_ASSIGN(result.plan, PlanOf(work, /*correction=*/1, monitor));
  INGOT_ASSIGN(result.bytes, pack::EstimateBytes(*work.checkpoint, result.plan));
  result.overhead_bytes = pack::EstimateOverhead(*work.checkpoint);
  result.unlearned = work.plans_unlearned;
  result.learning = std::move(work.learning);
  result.learned_bits = work.learned_bits;
  if (result.learned_bits > 0) pack::SpendBits(result.plan, result.learned_bits, result.bytes);
  return result;
}

Result<std::vector<BudgetPoint>> RunSweepJob(const PackJobOptions& options,
                                             const Monitor& monitor) {
  INGOT_ASSIGN(const Work work, Prepare(options, Purpose::kSweep, monitor));
  return SweepBudget(*work.curves);
}

}  // namespace ingot::jobs
