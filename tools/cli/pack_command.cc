// `ingot pack`.
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "artifact/reader.h"
#include "base/file.h"
#include "files/temporary.h"
#include "inspect/summary.h"
#include "inspect/text_format.h"
#include "pack/pipeline.h"
#include "pack/plan.h"
#include "pack/recipe_rules.h"
#include "pack/slab_source.h"
#include "tools/cli/common.h"
#include "tools/cli/evaluation.h"
#include "tools/cli/pack_budget.h"
#include "tools/cli/plan_text.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

// --max-kl kept by --measure: packs at most, and what the first correction adds to the measured
// excess; each further one adds four times as much, so that they end.
constexpr int kMostPacks = 5;
constexpr double kFirstMargin = 0.01;

struct PackCommand {
  std::string model, output, target, stats, memory = "1GiB";
  codecs::RecipeOptions recipe{"", 0, 0, "", ""};
  BudgetOptions budget;
  std::vector<std::string> rules, calib, measure, tune;
  std::size_t measure_tokens = 8192;
  KeyOption sign;
  bool plan_only = false;
  bool force = false, dry_run = false, json = false, quiet = false;
  bool allow_nonfinite = false, allow_unused = false, no_tokenizer = false;
};

bool ChoosesCodec(const codecs::RecipeOptions& r) {
  return !r.codec.empty() || r.group != 0 || r.bits != 0 || !r.levels.empty() ||
         !r.scales.empty() || !r.transform.empty() || r.rate != 0;
}

// With statistics a target, or none, is a budget for entropy_v1; the promises are in
// docs/codecs.md.
void SpendTargetByStatistics(PackCommand& command) {
  if (command.stats.empty() || ChoosesCodec(command.recipe) || command.budget.given()) return;
  const std::string target = command.target.empty() ? "balanced" : command.target;
  for (const auto& [name, bits] :
       {std::pair{"quality", 7.4}, std::pair{"balanced", 4.0}, std::pair{"size", 3.0}}) {
    if (target != name) continue;
    command.budget.bits = bits;
    command.target.clear();
  }
}

Result<pack::RolePreset> PresetOf(const PackCommand& command) {
  const codecs::RecipeOptions& r = command.recipe;
  const bool codec = ChoosesCodec(r);
  if (command.budget.given() && !command.target.empty())
    return InvalidArgument("give --target, or a budget, not both");
  if (codec && !command.target.empty())
    return InvalidArgument("give --target, or --codec with its options, not both");
  // What a budget does not choose, since statistics do not know it, stays close to the source.
  if (!codec && (command.budget.given() || command.plan_only)) return pack::TargetPreset("quality");
  if (!codec) return pack::TargetPreset(command.target.empty() ? "balanced" : command.target);
  codecs::RecipeOptions recipe = r;
  if (recipe.codec.empty()) recipe.codec = codecs::RecipeOptions{}.codec;
  return pack::CodecPreset(recipe);
}

Result<pack::PlanOptions> PlanOptionsOf(const PackCommand& command) {
  pack::PlanOptions options;
  INGOT_ASSIGN(options.preset, PresetOf(command));
  for (const std::string& text : command.rules) {
    INGOT_ASSIGN(pack::Rule rule, pack::ParseRule(text));
    options.rules.push_back(std::move(rule));
  }
  if (!command.stats.empty()) {
    INGOT_ASSIGN(options.statistics, calibration::Statistics::Open(command.stats));
  }
  options.allow_unused = command.allow_unused;
  options.require_tokenizer = !command.no_tokenizer;
  return options;
}

Result<pack::PackPlan> PlanOf(const PackCommand& command, const model::Checkpoint& checkpoint,
                              pack::PlanOptions options) {
  INGOT_ASSIGN(pack::PackPlan plan, pack::MakePlan(checkpoint, options));
  for (const std::string& name : plan.unused)
    if (!command.quiet) Warn(name + " is not used by the model and left out");
  if (!command.allow_nonfinite) return plan;
  INGOT_ASSIGN(options.nonfinite, pack::FindNonfiniteTensors(checkpoint, plan));
  for (const std::string& name : options.nonfinite)
    Warn(name + " holds NaN or infinity and is kept as it is");
  return pack::MakePlan(checkpoint, options);
}

// What was made, from the finished file itself.
Status Report(const PackCommand& command, const pack::PackReport& report, double seconds) {
  INGOT_ASSIGN(const auto reader, artifact::ArtifactReader::Open(command.output, {}));
  inspect::Summary summary = inspect::Summarize(*reader, nullptr);
  if (command.json) {
    inspect::Json json = inspect::SummaryJson(summary);
    json.erase("tensors");
    json["seconds"] = seconds;
    json["resumed_bytes"] = report.resumed_bytes;
    fmt::print("{}\n", untrusted::PrintableJson(json));
    return OkStatus();
  }
  const std::uint64_t packed = report.source_bytes - report.resumed_bytes;
  fmt::print(
      "{}: {}, {:.3f} bpw over linear weights, {:.3f} over all; {:.2f}x smaller than the "
      "source's weights ({})\n",
      command.output, inspect::HumanBytes(summary.file_bytes),
      summary.role("linear").stored_bits_per_weight(), summary.total.stored_bits_per_weight(),
      static_cast<double>(report.source_bytes) / static_cast<double>(summary.file_bytes),
      inspect::HumanBytes(report.source_bytes));
  fmt::print("root blake3:{}{}\n", summary.root_digest,
             summary.signatures.empty()
                 ? "; not signed"
                 : fmt::format("; signed with {} key {}", summary.signatures[0].kind,
                               summary.signatures[0].key_id));
  fmt::print("{:.1f} s, {:.0f} MB/s of source{}\n", seconds,
             static_cast<double>(packed) / 1e6 / std::max(seconds, 1e-9),
             report.resumed_bytes > 0 ? fmt::format("; {} were there from an earlier run",
                                                    inspect::HumanBytes(report.resumed_bytes))
                                      : "");
  return OkStatus();
}

// One pack of a plan. With --measure, `measured` is what its draft was measured to cost, and an
// artifact over `most_kl` is not finished: Limit.
Result<pack::PackReport> PackOnce(const PackCommand& command, const model::Checkpoint& checkpoint,
                                  const pack::PackPlan& plan, double most_kl,
                                  pack::Json& measured) {
  pack::PackOptions options;
  options.target = command.output;
  options.force = command.force;
  options.tool = "ingot " INGOT_VERSION;
  INGOT_ASSIGN(options.memory_bytes, ParseSize(command.memory).At("--memory"));
  INGOT_ASSIGN(const auto key, LoadSigningKey(command.sign));
  options.key = PointerTo(key);
  ProgressLine line(command.quiet || command.json);
  options.progress = [&](const pack::PackProgress& p) {
    line.Update(p.bytes_done, p.bytes_total, p.bytes_resumed, p.tensor);
  };
  if (!command.measure.empty())
    options.measure = [&](const std::string& draft) -> Result<pack::Json> {
      line.Clear();
      INGOT_ASSIGN(measured, MeasureArtifact(draft, command.model,
                                             {command.measure, command.measure_tokens,
                                              command.quiet || command.json}));
      const double kl = measured["kl_mean"].get<double>();
      if (kl > most_kl)
        return LimitExceeded(
            fmt::format("measured KL divergence {:.4g} is over --max-kl {:.4g}", kl, most_kl));
      return measured;
    };
  return pack::Pack(checkpoint, plan, options);
}

// Plans and packs (or prints the plan). Where --max-kl is to be kept by measurement, the prediction
// is corrected by what was measured, and packed again.
Result<pack::PackReport> PackWithin(const PackCommand& command, const model::Checkpoint& checkpoint,
                                    pack::PlanOptions plan_options, const BudgetCurves* known) {
  const bool bounded = command.budget.max_kl > 0 && !command.measure.empty();
  const double most_kl = bounded ? command.budget.max_kl : std::numeric_limits<double>::infinity();
  double correction = 1;
  for (int tries = 1;; ++tries) {
    if (known != nullptr)
      INGOT_TRY(ChooseByBudget(*known, command.budget, correction, plan_options));
    INGOT_ASSIGN(const pack::PackPlan plan, PlanOf(command, checkpoint, plan_options));
    if (command.dry_run) {
      fmt::print("{}",
                 command.json ? untrusted::PrintableJson(PlanJson(plan)) + "\n" : PlanText(plan));
      return pack::PackReport{};
    }
    pack::Json measured;
    auto report = PackOnce(command, checkpoint, plan, most_kl, measured);
    const bool over = !report.ok() && bounded && measured.is_object() &&
                      measured["kl_mean"].get<double>() > most_kl;
    if (!over || tries == kMostPacks) return report;
    const double predicted = plan.allocation["predicted_loss"].get<double>();
    correction *=
        (1 + kFirstMargin * std::pow(4, tries - 1)) * measured["kl_mean"].get<double>() / predicted;
    if (!command.quiet)
      Warn(fmt::format("measured KL {:.4g} against {:.4g} predicted: packing again",
                       measured["kl_mean"].get<double>(), predicted));
  }
}

// Packs beside the output, which is then the tuned one, and removes what it packed.
Result<pack::PackReport> PackTuned(const PackCommand& command, const model::Checkpoint& checkpoint,
                                   pack::PlanOptions plan_options, const BudgetCurves* known) {
  INGOT_TRY(CheckCanTune().At("--tune"));
  if (!command.force && ::access(command.output.c_str(), F_OK) == 0)
    return InvalidArgument(fmt::format("{}: exists; --force replaces it", command.output));
  PackCommand untuned = command;
  untuned.output = command.output + ".untuned";
  // What is there already is not ours to replace: it would be removed afterwards.
  if (::access(untuned.output.c_str(), F_OK) == 0)
    return InvalidArgument(fmt::format(
        "{}: is where the artifact is packed before it is tuned; move it away", untuned.output));
  untuned.sign = {};
  INGOT_ASSIGN(const pack::PackReport report,
               PackWithin(untuned, checkpoint, std::move(plan_options), known));
  const files::Tracked tracked(untuned.output, files::Fate::kRemoved);
  const Status tuned = TuneFor({untuned.output, command.model, command.output, command.sign,
                                command.tune, command.force, /*quiet=*/true});
  ::unlink(untuned.output.c_str());
  INGOT_TRY(tuned);
  return report;
}

Status RunPack(const PackCommand& command) {
  // Slabs come and go: their memory is kept for the next one instead of being given back, since
  // fresh pages cost more than what is computed on them.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& text : command.measure)
    INGOT_TRY(ReadFileToString(text).status().At("--measure"));
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(command.model));
  PackCommand resolved = command;
  if (!command.calib.empty()) {
    // Beside the artifact, so that the next pack of this model can take it by --stats.
    resolved.stats = command.output + ".stats.safetensors";
    INGOT_TRY(CalibrateFor(command.model, command.calib, resolved.stats, command.quiet));
  }
  SpendTargetByStatistics(resolved);
  INGOT_ASSIGN(pack::PlanOptions plan_options, PlanOptionsOf(resolved));
  std::optional<BudgetCurves> known;
  if (command.plan_only || resolved.budget.given()) {
    INGOT_ASSIGN(const std::uint64_t memory, ParseSize(command.memory).At("--memory"));
    INGOT_ASSIGN(known, MeasureBudget(*checkpoint, resolved.recipe, memory,
                                      command.quiet || command.json, plan_options));
  }
  if (command.plan_only) {
    INGOT_ASSIGN(const std::string sweep, BudgetSweep(*known, command.json));
    fmt::print("{}", sweep);
    return OkStatus();
  }
  const bool tunes = !command.tune.empty() && !command.dry_run;
  INGOT_ASSIGN(const pack::PackReport report,
               (tunes ? PackTuned : PackWithin)(resolved, *checkpoint, std::move(plan_options),
                                                PointerTo(known)));
  if (command.dry_run || (command.quiet && !command.json)) return OkStatus();
  const auto seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return Report(command, report, seconds);
}

std::string CodecHelp() {
  std::string text =
      "codec of the linear weights; embedding and head get int8 where it is coarser:";
  for (const codecs::RecipeInfo& recipe : codecs::Recipes())
    text += fmt::format("\n  {:<18} {}", recipe.name, recipe.summary);
  return text;
}

std::string TargetHelp() {
  std::string text =
      "instead of a codec (default balanced); with --stats entropy_v1 at 7, 4 and 3 bits per "
      "linear "
      "weight:";
  for (const pack::TargetInfo& target : pack::Targets())
    text += fmt::format("\n  {:<18} {}", target.name, target.summary);
  return text;
}

}  // namespace

void AddPackCommand(CLI::App& app, Outcome& outcome) {
  auto o = std::make_shared<PackCommand>();
  CLI::App* c = app.add_subcommand("pack", "compress a model into an artifact");
  c->add_option("MODEL", o->model, "Hugging Face directory, or .gguf file")->required();
  CLI::Option* output =
      c->add_option("-o,--output", o->output, "artifact to write")->type_name("FILE");
  c->add_option("--target", o->target, TargetHelp())->type_name("NAME");
  c->add_option("--codec", o->recipe.codec, CodecHelp())->type_name("NAME");
  c->add_option("--group", o->recipe.group, "weights that share a scale")
      ->type_name("G")
      ->check(CLI::PositiveNumber);
  c->add_option("--bits", o->recipe.bits, "bits of a weight")
      ->type_name("B")
      ->check(CLI::PositiveNumber);
  c->add_option("--levels", o->recipe.levels, "symmetric, asymmetric, normal or log")
      ->type_name("KIND");
  c->add_option("--scales", o->recipe.scales, "f16, or q8 (8 bits under one f16 a row)")
      ->type_name("KIND");
  c->add_option("--transform", o->recipe.transform, "none, hadamard or awq, before rounding")
      ->type_name("KIND");
  c->add_option("--rate", o->recipe.rate, "entropy_v1: stored bits per weight of every matrix")
      ->type_name("BITS")
      ->check(CLI::PositiveNumber);
  c->add_option("--bpw", o->budget.bits,
                "stored bits per linear weight, spent where the statistics say that they matter; "
                "with --codec entropy_v1 (default) or int4_gptq (whole ladder)")
      ->type_name("BITS")
      ->check(CLI::PositiveNumber);
  c->add_option("--size", o->budget.size, "the same for the size of the file")->type_name("SIZE");
  c->add_option("--max-kl", o->budget.max_kl, "the same for the predicted KL divergence")
      ->type_name("NATS")
      ->check(CLI::PositiveNumber);
  c->add_flag("--plan-only", o->plan_only, "print size and predicted loss over budgets");
  c->add_option(
       "--rule", o->rules,
       "GLOB=CODEC[:group=G,bits=B,levels=L,scales=S,...] for matrices whose name matches; a later "
       "rule overrides an earlier one")
      ->type_name("RULE")
      ->allow_extra_args(false);
  c->add_option("--stats", o->stats, "statistics of this model (see calibrate)")->type_name("FILE");
  c->add_option("--calib", o->calib,
                "take them now, over these texts or 'self'; kept as OUTPUT.stats.safetensors")
      ->type_name("TEXT...")
      ->excludes("--stats");
  c->add_option("--measure", o->measure,
                "measure what it cost over these texts and record it; --max-kl is then kept by "
                "measurement")
      ->type_name("TEXT...");
  c->add_option("--measure-tokens", o->measure_tokens, "of these texts, at most")
      ->type_name("N")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--tune", o->tune,
                "then fit scales, zeros and norms by gradient over these texts (see tune)")
      ->type_name("TEXT...")
      ->excludes("--measure");
  c->add_option("--memory", o->memory, "peak memory, at most")
      ->type_name("SIZE")
      ->capture_default_str();
  AddThreadsOption(c);
  AddSigningKeyOptions(c, "--sign", o->sign);
  c->add_flag("--force", o->force, "replace an existing FILE");
  c->add_flag("--dry-run", o->dry_run, "print the plan and its sizes, write nothing");
  c->add_flag("--allow-nonfinite", o->allow_nonfinite,
              "keep tensors with NaN or infinity as they are instead of refusing the model");
  c->add_flag("--allow-unused", o->allow_unused, "leave out tensors that the model does not use");
  c->add_flag("--no-tokenizer", o->no_tokenizer, "pack a model that has no tokenizer");
  c->add_flag("--json", o->json, "one JSON object about the result");
  c->add_flag("-q,--quiet", o->quiet, "no progress, no report");
  OnRun(c, outcome, [o, output]() -> Status {
    if (output->count() == 0 && !o->dry_run && !o->plan_only)
      return InvalidArgument("-o FILE is required (or --dry-run)");
    if (output->count() == 0 && !o->calib.empty())
      return InvalidArgument("--calib keeps its statistics beside the artifact: give -o FILE");
    return RunPack(*o);
  });
}

}  // namespace ingot::cli
