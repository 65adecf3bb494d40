#include "jobs/variants_job.h"

#include <fmt/format.h>

#include <utility>

#include "jobs/eval_text.h"
#include "jobs/paired_speed.h"
#include "jobs/session_logits.h"
#include "jobs/stepped_logits.h"
#include "loader/energy_meter.h"

namespace ingot::jobs {
namespace {

using loader::ExitPolicy;
using loader::PrecisionOptions;
using loader::PrecisionPolicy;
using Mode = PrecisionOptions::Mode;

constexpr std::uint64_t kSeed = 1;  // of what is drawn by chance

class Variants {
 public:
  Variants(std::shared_ptr<const loader::Model> model, loader::LogitSource& reference,
           const VariantsJobOptions& options, const EvalText& text, const Monitor& monitor)
      : model_(std::move(model)),
        reference_(reference),
        options_(options),
        text_(text),
        monitor_(monitor),
        energy_(loader::MakePackageMeter()) {}

  std::string energy() const {
    return energy_ != nullptr && energy_->Joules() ? std::string(energy_->what()) : std::string();
  }

  Status AddPrecisions(VariantsJobResult& result) {
    const Mode mode = options_.precision->mode;
    result.speed_of = mode == Mode::kInt8 ? "all planes" : "int8";
    INGOT_ASSIGN(PrecisionPolicy asked, PrecisionPolicy::Make(*model_, *options_.precision));
    // What has no classes stands alone: a fixed artifact, to be held against others.
    const bool has_classes = loader::CheckHasClasses(*model_).ok();
    if (!has_classes) result.speed_of.clear();
    INGOT_TRY(AddPrecision(NameOf(mode), asked, result));
    if (!has_classes) return OkStatus();
    if (mode == Mode::kAdaptive) {
      PrecisionPolicy chance = PrecisionPolicy::ByChance(asked, kSeed);
      INGOT_TRY(AddPrecision("by chance", chance, result));
    }
    for (const Mode other : {Mode::kInt8, Mode::kInt4}) {
      if (other == mode) continue;
      INGOT_ASSIGN(PrecisionPolicy beside, PrecisionPolicy::Make(*model_, {.mode = other}));
      INGOT_TRY(AddPrecision(NameOf(other), beside, result));
    }
    return OkStatus();
  }

  Status AddExits(VariantsJobResult& result) {
    result.speed_of = "all layers";
    INGOT_ASSIGN(const loader::ExitOptions exits, options_.exits(*model_));
    INGOT_ASSIGN(ExitPolicy asked, ExitPolicy::Make(*model_, exits));
    INGOT_TRY(Add("exits", {.exits = &asked}, result));
    result.variants.back().kept_layers = asked.stats().kept_layers();
    if (asked.stats().none_left())
      monitor_.Warn("no token of the text leaves at this threshold: all run all layers");
    if (asked.stats().all_left_at_once())
      monitor_.Warn("all tokens of the text leave at the same exit: the routers choose nothing");
    INGOT_ASSIGN(ExitPolicy timed, ExitPolicy::Make(*model_, exits));
    INGOT_ASSIGN(result.variants.back().speed,
                 PairedSpeed(model_, text_.tokens, {.exits = &timed}, {}));
    ExitPolicy chance =
        ExitPolicy::ByChance(*model_, asked.stats().chances(), kSeed, exits.kv);
    INGOT_TRY(Add("by chance", {.exits = &chance}, result));
    result.variants.back().kept_layers = chance.stats().kept_layers();
    return OkStatus();
  }

 private:
  static std::string NameOf(Mode mode) {
    switch (mode) {
      case Mode::kInt8:
        return "int8";
      case Mode::kInt4:
        return "int4";
      case Mode::kMixed:
        return "mixed";
      case Mode::kAdaptive:
        return "adaptive";
      case Mode::kFull:
        break;
    }
    return "full";
  }

  Status AddPrecision(const std::string& name, PrecisionPolicy& policy, VariantsJobResult& result) {
    INGOT_TRY(Add(name, {.precision = &policy}, result));
    Variant& variant = result.variants.back();
    variant.classes = policy.stats();
    variant.kept_layers = static_cast<double>(model_->architecture().layers.size());
    if (name == result.speed_of || result.speed_of.empty()) return OkStatus();
    INGOT_ASSIGN(PrecisionPolicy other,
                 PrecisionPolicy::Make(
                     *model_, {.mode = result.speed_of == "int8" ? Mode::kInt8 : Mode::kFull}));
    PrecisionPolicy timed = policy;
    INGOT_ASSIGN(variant.speed,
                 PairedSpeed(model_, text_.tokens, {.precision = &timed}, {.precision = &other}));
    return OkStatus();
  }

  Status Add(const std::string& name, const StepPolicies& policies, VariantsJobResult& result) {
    loader::EvalOptions options;
    options.context = options_.context;
    options.bos_id = text_.bos_id;
    options.max_tokens = options_.tokens;
    options.progress = [&](std::size_t done, std::size_t windows) {
      return monitor_.Tell({name, done, windows, "windows", 0, {}});
    };
    SteppedLogits stepped(model_, text_.tokens, options, policies);
    const auto before = energy_ != nullptr ? energy_->Joules() : std::nullopt;
    Variant& variant = result.variants.emplace_back();
    variant.name = name;
    INGOT_ASSIGN(variant.measured, loader::Evaluate(reference_, stepped, text_.tokens, options));
    const auto after = energy_ != nullptr ? energy_->Joules() : std::nullopt;
    if (before && after && stepped.rows() > 0)
      variant.joules_a_token = (*after - *before) / static_cast<double>(stepped.rows());
    variant.bits_a_weight = stepped.reads().bits_a_weight();
    return OkStatus();
  }

  std::shared_ptr<const loader::Model> model_;
  loader::LogitSource& reference_;
  const VariantsJobOptions& options_;
  const EvalText& text_;
  const Monitor& monitor_;
  std::unique_ptr<loader::EnergyMeter> energy_;
};

Result<std::shared_ptr<const loader::Model>> OpenReference(const VariantsJobOptions& job) {
  loader::ModelOptions options;
  options.compute = loader::Compute::kExact;
  return loader::Model::Open(job.reference, options);
}

}  // namespace

Result<VariantsJobResult> RunVariantsJob(const VariantsJobOptions& job, const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  if (job.precision.has_value() == (job.exits != nullptr))
    return InvalidArgument("--precision or --exit: one of them is measured at a time");
  if (job.texts.empty()) return InvalidArgument("this is measured on a text: --text FILE");
  loader::ModelOptions open;
  open.key = job.key;
  open.selection.levels = job.levels;
  open.max_decoded_bytes = job.max_decoded_bytes;
  open.allow_truncated = true;
  INGOT_ASSIGN(const auto model, loader::Model::Open(job.artifact, open));
  if (model->architecture().masked)
    return InvalidArgument(
        "an encoder's tokens are run at once: none has planes or layers of its own");
  std::shared_ptr<const loader::Model> reference = model;
  if (!job.reference.empty()) {
    INGOT_ASSIGN(reference, OpenReference(job));
  }
  INGOT_ASSIGN(const EvalText text, ReadTexts(*reference, *model, job.texts));
  if (text.tokens.size() <= kPacedPrompt)
    return InvalidArgument(fmt::format("the text has {} tokens, at least {} are measured on",
                                       text.tokens.size(), kPacedPrompt + 1));
  VariantsJobResult result;
  result.layers = model->architecture().layers.size();
  result.text = text.origin;
  const auto whole = RememberedLogitsOf(reference);
  Variants variants(model, *whole, job, text, monitor);
  result.energy = variants.energy();
  INGOT_TRY(job.precision ? variants.AddPrecisions(result) : variants.AddExits(result));
  return result;
}

}  // namespace ingot::jobs
