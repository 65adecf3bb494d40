// `ingot pack`.
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "artifact/reader.h"
#include "codecs/recipe.h"
#include "files/output.h"
#include "inspect/summary.h"
#include "inspect/text_format.h"
#include "jobs/pack_job.h"
#include "pack/recipe_rules.h"
#include "tools/cli/common.h"
#include "tools/cli/help_format.h"
#include "tools/cli/job_line.h"
#include "tools/cli/number_checks.h"
#include "tools/cli/pack_report.h"
#include "tools/cli/plan_text.h"
#include "tools/cli/suggest.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

struct PackCommand {
  jobs::PackJobOptions job;
  std::string output;  // as it was named
  std::string memory = "1GiB";
  KeyOption sign;
  std::vector<std::string> calib, tune;
  bool plan_only = false, dry_run = false, no_tokenizer = false, smallest = false;
  bool json = false, quiet = false;
  JobLine* line = nullptr;  // while the job runs
};

// What was made, from the finished file itself.
Status Report(const PackCommand& command, const pack::PackReport& report, double seconds,
              bool to_stderr) {
  INGOT_ASSIGN(const auto reader, artifact::ArtifactReader::Open(command.job.output, {}));
  const inspect::Summary summary = inspect::Summarize(*reader, nullptr);
  const std::string text =
      command.json ? untrusted::PrintableJson(PackReportJson(summary, report, seconds)) + "\n"
                   : PackReportText(command.output, summary, report, seconds, OutputColumns());
  if (to_stderr)
    WriteError(text);
  else
    fmt::print("{}", text);
  return OkStatus();
}

std::string AboutTime(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", std::max(1.0, seconds));
  return fmt::format("{:.0f} min", seconds / 60);
}

// Past this many seconds the line says what would shorten it.
constexpr double kLong = 20 * 60;

// The one line before work: what will be known about the model, what that takes, and what the next
// better knowledge would bring.
void SayKnowledge(const jobs::PackJobOptions& job, jobs::Knowledge knowledge,
                  const jobs::CalibrationPlan* plan, const std::string& why) {
  std::string line;
  if (knowledge == jobs::Knowledge::kNothing && !why.empty()) {
    line = fmt::format(
        "{}: packing by nearest rounding, at once; --calib FILE would about halve the divergence "
        "at the same size",
        why);
  } else if (knowledge == jobs::Knowledge::kNothing && job.fast) {
    line =
        "--fast: nearest rounding, at once; without it the model is learned first, which about "
        "halves the divergence at the same size";
  } else if (knowledge == jobs::Knowledge::kInputs) {
    const auto mix = jobs::ParseTexts(job.learn.texts);  // read before
    const bool own = mix.ok() && mix->files.empty();
    line = fmt::format(
        "first {} tokens of {} go through the model: about {}, {} of memory, {} of disk; ",
        mix.ok() ? jobs::LearnTokens(job.learn, *mix) : 0,
        own                      ? "its own text"
        : mix.ok() && mix->own() ? "its own text and yours"
                                 : "your text",
        AboutTime(plan->seconds),
        inspect::HumanBytes(plan->cost.fixed_bytes + plan->cost.window_bytes),
        inspect::HumanBytes(plan->cost.work_bytes));
    if (plan->seconds > kLong)
      line += "--calib-tokens N takes fewer, --fast none";
    else
      line += own ? "--calib FILE, text like yours, is better there"
                  : "gradients by LibTorch (tools/setup --torch) spend bits better still";
  }
  if (!line.empty()) PrintError("ingot: {}\n", line);
}

// Where statistics come from. Files by LibTorch's program where it is there, else by the job
// itself.
Status ResolveStatistics(PackCommand& command) {
  jobs::PackJobOptions& job = command.job;
  if (job.fast && !(command.calib.empty() && job.statistics.empty()))
    return InvalidArgument("--fast takes no statistics: give it without --stats and --calib");
  if (!command.quiet && !command.json)
    job.on_knowledge = [&command, &job](jobs::Knowledge knowledge,
                                        const jobs::CalibrationPlan* plan, const std::string& why) {
      if (command.line != nullptr) command.line->Clear();
      SayKnowledge(job, knowledge, plan, why);
    };
  if (command.calib.empty()) return OkStatus();
  if (HasGradients()) {
    job.calibrate = [&command](const std::string& statistics) {
      return CalibrateFor(command.job.model, command.calib, statistics, command.job.learn.tokens,
                          command.job.force, command.quiet);
    };
    return OkStatus();
  }
  job.learn.texts = command.calib;
  job.learn.keep = true;
  return OkStatus();
}

// Sizes, keys and what needs LibTorch, as the job wants them.
Status Resolve(PackCommand& command, std::optional<artifact::SigningKey>& key) {
  jobs::PackJobOptions& job = command.job;
  job.tool = "ingot " INGOT_VERSION;
  job.require_tokenizer = !command.no_tokenizer;
  INGOT_ASSIGN(job.memory_bytes, ParseMemory(command.memory));
  if (!job.budget.size_text.empty()) {
    INGOT_ASSIGN(job.budget.size_bytes, ParseSize(job.budget.size_text).At("--size"));
  }
  INGOT_TRY(ResolveStatistics(command));
  if (command.dry_run || command.plan_only) return OkStatus();
  if (!command.tune.empty()) {
    INGOT_TRY(CheckCanTune().At("--tune"));
    job.tune = [&command](const std::string& packed) {
      return TuneFor({packed, command.job.model, command.job.output, command.sign, command.tune,
                      command.job.force, /*quiet=*/true});
    };
    return OkStatus();  // and signs
  }
  INGOT_ASSIGN(key, LoadSigningKey(command.sign));
  job.key = PointerTo(key);
  return OkStatus();
}

Status RunPack(PackCommand& command) {
  // Slabs come and go: their memory is kept for the next one instead of being given back, since
  // fresh pages cost more than what is computed on them.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
  const auto start = std::chrono::steady_clock::now();
  std::optional<files::Output> output;  // absent: nothing is written
  if (!command.dry_run && !command.plan_only) {
    const bool beside = !command.calib.empty() || !command.tune.empty();
    auto opened =
        files::Output::Open(command.output, {.force = command.job.force, .streams = !beside});
    if (!opened.ok()) return std::move(opened).status();
    output.emplace(*std::move(opened));
    command.job.output = output->path();
  }
  std::optional<artifact::SigningKey> key;
  INGOT_TRY(Resolve(command, key));
  JobLine line({.progress = command.quiet || command.json, .notes = command.quiet});
  command.line = &line;
  if (command.plan_only) {
    INGOT_ASSIGN(const auto points, jobs::RunSweepJob(command.job, line.monitor()));
    line.Clear();
    fmt::print("{}", command.json ? untrusted::PrintableJson(SweepJson(points)) + "\n"
                                  : SweepText(points, OutputColumns()));
    return OkStatus();
  }
  if (command.dry_run) {
    INGOT_ASSIGN(const jobs::PlanJobResult plan, jobs::RunPlanJob(command.job, line.monitor()));
    line.Clear();
    fmt::print("{}", command.json ? untrusted::PrintableJson(PlanJson(plan)) + "\n"
                                  : PlanText(plan, OutputColumns()));
    return OkStatus();
  }
  INGOT_ASSIGN(const jobs::PackJobResult result, jobs::RunPackJob(command.job, line.monitor()));
  line.Clear();
  INGOT_TRY(output->Finish());
  if (command.quiet && !command.json) return OkStatus();
  const auto seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return Report(command, result.report, seconds, output->is_stream());
}

std::vector<std::string> CodecNames() {
  std::vector<std::string> names;
  for (const codecs::Recipe& recipe : codecs::Recipes()) names.emplace_back(recipe.name);
  return names;
}

std::vector<std::string> TargetNames() {
  std::vector<std::string> names;
  for (const pack::TargetInfo& target : pack::Targets()) names.emplace_back(target.name);
  return names;
}

// A name that is none of those, with the one that may be meant.
Status CheckNames(const jobs::PackJobOptions& job) {
  const auto check = [](const char* option, const std::string& name,
                        const std::vector<std::string>& known) {
    if (name.empty() || std::ranges::find(known, name) != known.end()) return OkStatus();
    return InvalidArgument(fmt::format("{} '{}' is not known{} (ingot help {}s lists them)", option,
                                       name, DidYouMean(name, known), option));
  };
  INGOT_TRY(check("codec", job.recipe.codec, CodecNames()));
  return check("target", job.target, TargetNames());
}

void AddMakeOptions(CLI::App* c, PackCommand& o) {
  constexpr const char* kGroup = "What it becomes";
  const auto add = [&](CLI::Option* option, const char* type) {
    return option->type_name(type)->group(kGroup);
  };
  CLI::Option* target = add(
      c->add_option("--target", o.job.target, "quality, balanced (default) or size: help targets"),
      "NAME");
  add(c->add_option("--bpw", o.job.budget.bits, "bits per linear weight, spent where they matter"),
      "BITS")
      ->check(AboveZero());
  add(c->add_option("--size", o.job.budget.size_text, "the same for the size of the file"), "SIZE");
  add(c->add_option("--max-kl", o.job.budget.max_kl,
                    "the same for the predicted divergence; with --measure for the measured one"),
      "NATS")
      ->check(AboveZero());
  CLI::Option* codec =
      add(c->add_option("--codec", o.job.recipe.codec, "of linear weights: help codecs"), "NAME");
  c->add_flag("--smallest", o.smallest,
              "few bits in the file, not in memory: entropy_v2 --bpw 3.75")
      ->excludes(target)
      ->excludes(codec)
      ->group(kGroup);
  add(c->add_option("--group", o.job.recipe.group, "weights that share a scale"), "G")
      ->transform(WholeNumber(1));
  add(c->add_option("--bits", o.job.recipe.bits, "bits of a weight; entropy_v2: of its state"), "B")
      ->transform(WholeNumber(1));
  add(c->add_option("--dimension", o.job.recipe.dimension,
                    "calibrated_vq: weights of a codebook's word"),
      "D")
      ->transform(WholeNumber(1));
  add(c->add_option("--effort", o.job.recipe.effort, "trellis_v1: high, four times as long"),
      "HIGH");
  add(c->add_option("--levels", o.job.recipe.levels, "symmetric, asymmetric, normal or log"),
      "KIND");
  add(c->add_option("--scales", o.job.recipe.scales, "f16, or q8: 8 bits under one f16 a row"),
      "KIND");
  add(c->add_option("--transform", o.job.recipe.transform, "none or hadamard, before rounding"),
      "KIND");
  add(c->add_option("--rate", o.job.recipe.rate, "entropy codecs: stored bits of every matrix"),
      "BITS")
      ->check(AboveZero());
  add(c->add_option("--rule", o.job.rules, "GLOB=CODEC[:group=G,...] for matrices; the last wins"),
      "RULE")
      ->allow_extra_args(false);
}

// The codec of the fewest stored bits, and how few, where no budget says otherwise.
void AskForTheSmallest(jobs::PackJobOptions& job) {
  job.recipe.codec = "entropy_v2";
  if (!job.budget.given() && !job.fast) job.budget.bits = pack::kSmallestBits;
}

void AddKnowOptions(CLI::App* c, PackCommand& o) {
  constexpr const char* kGroup = "What is known about the model (default: its own text is read)";
  const auto add = [&](CLI::Option* option, const char* type) {
    return option->type_name(type)->group(kGroup);
  };
  CLI::Option* stats =
      add(c->add_option("--stats", o.job.statistics, "statistics of this model (ingot calibrate)"),
          "FILE");
  add(c->add_option("--calib", o.calib, "take them now over texts or 'self', and keep them"),
      "TEXT")
      ->excludes(stats);
  add(c->add_option("--calib-tokens", o.job.learn.tokens,
                    "of those texts (own 16384, files 65536)"),
      "N")
      ->transform(WholeNumber(1));
  c->add_flag("--fast", o.job.fast, "learn nothing: nearest rounding, twice the divergence")
      ->group(kGroup);
  CLI::Option* measure =
      add(c->add_option("--measure", o.job.measure.texts, "measure the cost over texts, record it"),
          "TEXT");
  add(c->add_option("--measure-tokens", o.job.measure.tokens, "of those texts, at most (8192)"),
      "N")
      ->transform(WholeNumber(1));
  add(c->add_option("--tune", o.tune, "then fit scales and norms over texts (LibTorch)"), "TEXT")
      ->excludes(measure);
}

void AddOutputOptions(CLI::App* c, PackCommand& o) {
  constexpr const char* kGroup = "Output and limits";
  const auto flag = [&](const char* name, bool& value, const char* text) {
    c->add_flag(name, value, text)->group(kGroup);
  };
  c->add_option("--memory", o.memory, "peak memory, at most")
      ->type_name("SIZE")
      ->capture_default_str()
      ->group(kGroup);
  AddThreadsOption(c);
  AddSigningKeyOptions(c, "--sign", o.sign);
  for (const char* name : {"--threads", "--sign", "--hmac-key"}) c->get_option(name)->group(kGroup);
  flag("--force", o.job.force, "replace an existing FILE");
  flag("--dry-run", o.dry_run, "print what would be done: codecs, sizes, time; write nothing");
  flag("--plan-only", o.plan_only, "print size and predicted loss over budgets");
  flag("--allow-nonfinite", o.job.allow_nonfinite, "keep tensors with NaN or infinity as they are");
  flag("--allow-unused", o.job.allow_unused, "leave out tensors that the model does not use");
  flag("--no-tokenizer", o.no_tokenizer, "pack a model that has no tokenizer");
  flag("--json", o.json, "one JSON object about the result");
  flag("-q,--quiet", o.quiet, "no progress, no report");
}

constexpr std::size_t kListed = 21;  // where the description of a codec or a target begins

}  // namespace

std::string CodecsHelp() {
  std::string text =
      "Codecs of linear weights; embedding and head get 8 bits where one is coarser.\n";
  for (const codecs::Recipe& recipe : codecs::Recipes())
    text += HelpEntry(
        std::string(recipe.name),
        fmt::format("{}{}", recipe.summary, recipe.needs_statistics ? " (needs statistics)" : ""),
        kListed);
  return text;
}

std::string TargetsHelp() {
  std::string text = "Targets: a size that is kept, whatever is known about the model.\n";
  for (const pack::TargetInfo& target : pack::Targets())
    text += HelpEntry(std::string(target.name), target.summary, kListed);
  return text;
}

void AddPackCommand(CLI::App& app, Outcome& outcome) {
  auto o = std::make_shared<PackCommand>();
  CLI::App* c = app.add_subcommand("pack", "compress a model into an artifact");
  c->add_option("MODEL", o->job.model, "Hugging Face directory, or .gguf file")->required();
  CLI::Option* output =
      c->add_option("-o,--output", o->output, "artifact to write, or - for standard output")
          ->type_name("FILE");
  AddMakeOptions(c, *o);
  AddKnowOptions(c, *o);
  AddOutputOptions(c, *o);
  OnRun(c, outcome, [o, output]() -> Status {
    if (output->count() == 0 && !o->dry_run && !o->plan_only)
      return InvalidArgument("-o FILE is required (or --dry-run)");
    o->job.output = o->output;
    if (output->count() == 0 && !o->calib.empty() && !o->dry_run)
      return InvalidArgument("--calib keeps its statistics beside the artifact: give -o FILE");
    INGOT_TRY(CheckNames(o->job));
    if (o->smallest) AskForTheSmallest(o->job);
    return RunPack(*o);
  });
}

}  // namespace ingot::cli
