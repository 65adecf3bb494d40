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
#include "tools/cli/job_line.h"
#include "tools/cli/number_checks.h"
#include "tools/cli/plan_text.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

struct PackCommand {
  jobs::PackJobOptions job;
  std::string output;  // as it was named
  std::string memory = "1GiB";
  KeyOption sign;
  std::vector<std::string> calib, tune;
  bool plan_only = false, dry_run = false, no_tokenizer = false;
  bool json = false, quiet = false;
};

// What was made, from the finished file itself.
Status Report(const PackCommand& command, const pack::PackReport& report, double seconds,
              std::FILE* to) {
  INGOT_ASSIGN(const auto reader, artifact::ArtifactReader::Open(command.job.output, {}));
  inspect::Summary summary = inspect::Summarize(*reader, nullptr);
  if (command.json) {
    inspect::Json json = inspect::SummaryJson(summary);
    json.erase("tensors");
    json["seconds"] = seconds;
    json["resumed_bytes"] = report.resumed_bytes;
    fmt::print(to, "{}\n", untrusted::PrintableJson(json));
    return OkStatus();
  }
  const std::uint64_t packed = report.source_bytes - report.resumed_bytes;
  fmt::print(to,
             "{}: {}, {:.3f} bpw over linear weights, {:.3f} over all; {:.2f}x smaller than the "
             "source's weights ({})\n",
             untrusted::Printable(command.output), inspect::HumanBytes(summary.file_bytes),
             summary.role("linear").stored_bits_per_weight(),
             summary.total.stored_bits_per_weight(),
             static_cast<double>(report.source_bytes) / static_cast<double>(summary.file_bytes),
             inspect::HumanBytes(report.source_bytes));
  fmt::print(to, "root blake3:{}{}\n", summary.root_digest,
             summary.signatures.empty()
                 ? "; not signed"
                 : fmt::format("; signed with {} key {}", summary.signatures[0].kind,
                               summary.signatures[0].key_id));
  fmt::print(to, "{:.1f} s, {:.0f} MB/s of source{}\n", seconds,
             static_cast<double>(packed) / 1e6 / std::max(seconds, 1e-9),
             report.resumed_bytes > 0 ? fmt::format("; {} were there from an earlier run",
                                                    inspect::HumanBytes(report.resumed_bytes))
                                      : "");
  return OkStatus();
}

// Sizes, keys and what needs LibTorch, as the job wants them.
Status Resolve(PackCommand& command, std::optional<artifact::SigningKey>& key) {
  jobs::PackJobOptions& job = command.job;
  job.tool = "ingot " INGOT_VERSION;
  job.require_tokenizer = !command.no_tokenizer;
  INGOT_ASSIGN(job.memory_bytes, ParseSize(command.memory).At("--memory"));
  if (!job.budget.size_text.empty()) {
    INGOT_ASSIGN(job.budget.size_bytes, ParseSize(job.budget.size_text).At("--size"));
  }
  if (!command.calib.empty())
    job.calibrate = [&command](const std::string& statistics) {
      return CalibrateFor(command.job.model, command.calib, statistics, command.quiet);
    };
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
  if (command.plan_only) {
    INGOT_ASSIGN(const auto points, jobs::RunSweepJob(command.job, line.monitor()));
    line.Clear();
    fmt::print("{}", command.json ? untrusted::PrintableJson(SweepJson(points)) + "\n"
                                  : SweepText(points));
    return OkStatus();
  }
  if (command.dry_run) {
    INGOT_ASSIGN(const pack::PackPlan plan, jobs::RunPlanJob(command.job, line.monitor()));
    line.Clear();
    fmt::print("{}",
               command.json ? untrusted::PrintableJson(PlanJson(plan)) + "\n" : PlanText(plan));
    return OkStatus();
  }
  INGOT_ASSIGN(const jobs::PackJobResult result, jobs::RunPackJob(command.job, line.monitor()));
  line.Clear();
  INGOT_TRY(output->Finish());
  if (command.quiet && !command.json) return OkStatus();
  const auto seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return Report(command, result.report, seconds, output->is_stream() ? stderr : stdout);
}

std::string CodecHelp() {
  std::string text =
      "codec of the linear weights; embedding and head get int8 where it is coarser:";
  for (const codecs::Recipe& recipe : codecs::Recipes())
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
  c->add_option("MODEL", o->job.model, "Hugging Face directory, or .gguf file")->required();
  CLI::Option* output =
      c->add_option("-o,--output", o->output, "artifact to write, or - for standard output")
          ->type_name("FILE");
  c->add_option("--target", o->job.target, TargetHelp())->type_name("NAME");
  c->add_option("--codec", o->job.recipe.codec, CodecHelp())->type_name("NAME");
  c->add_option("--group", o->job.recipe.group, "weights that share a scale")
      ->type_name("G")
      ->transform(WholeNumber(1));
  c->add_option("--bits", o->job.recipe.bits,
                "bits of a weight; entropy_v2: of the trellis's state, 2 to 12")
      ->type_name("B")
      ->transform(WholeNumber(1));
  c->add_option("--levels", o->job.recipe.levels, "symmetric, asymmetric, normal or log")
      ->type_name("KIND");
  c->add_option("--scales", o->job.recipe.scales, "f16, or q8 (8 bits under one f16 a row)")
      ->type_name("KIND");
  c->add_option("--transform", o->job.recipe.transform, "none, hadamard or awq, before rounding")
      ->type_name("KIND");
  c->add_option("--rate", o->job.recipe.rate,
                "entropy_v1, entropy_v2: stored bits per weight of every matrix")
      ->type_name("BITS")
      ->check(AboveZero());
  c->add_option("--bpw", o->job.budget.bits,
                "stored bits per linear weight, spent where the statistics say that they matter; "
                "with --codec entropy_v1 (default), entropy_v2 or int4_gptq (whole ladder)")
      ->type_name("BITS")
      ->check(AboveZero());
  c->add_option("--size", o->job.budget.size_text, "the same for the size of the file")
      ->type_name("SIZE");
  c->add_option("--max-kl", o->job.budget.max_kl, "the same for the predicted KL divergence")
      ->type_name("NATS")
      ->check(AboveZero());
  c->add_flag("--plan-only", o->plan_only, "print size and predicted loss over budgets");
  c->add_option(
       "--rule", o->job.rules,
       "GLOB=CODEC[:group=G,bits=B,levels=L,scales=S,...] for matrices whose name matches; a later "
       "rule overrides an earlier one")
      ->type_name("RULE")
      ->allow_extra_args(false);
  c->add_option("--stats", o->job.statistics, "statistics of this model (see calibrate)")
      ->type_name("FILE");
  c->add_option("--calib", o->calib,
                "take them now, over these texts or 'self'; kept as OUTPUT.stats.safetensors")
      ->type_name("TEXT...")
      ->excludes("--stats");
  c->add_option("--measure", o->job.measure.texts,
                "measure what it cost over these texts and record it; --max-kl is then kept by "
                "measurement")
      ->type_name("TEXT...");
  c->add_option("--measure-tokens", o->job.measure.tokens, "of these texts, at most")
      ->type_name("N")
      ->transform(WholeNumber(1))
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
  c->add_flag("--force", o->job.force, "replace an existing FILE");
  c->add_flag("--dry-run", o->dry_run, "print the plan and its sizes, write nothing");
  c->add_flag("--allow-nonfinite", o->job.allow_nonfinite,
              "keep tensors with NaN or infinity as they are instead of refusing the model");
  c->add_flag("--allow-unused", o->job.allow_unused,
              "leave out tensors that the model does not use");
  c->add_flag("--no-tokenizer", o->no_tokenizer, "pack a model that has no tokenizer");
  c->add_flag("--json", o->json, "one JSON object about the result");
  c->add_flag("-q,--quiet", o->quiet, "no progress, no report");
  OnRun(c, outcome, [o, output]() -> Status {
    if (output->count() == 0 && !o->dry_run && !o->plan_only)
      return InvalidArgument("-o FILE is required (or --dry-run)");
    o->job.output = o->output;
    if (output->count() == 0 && !o->calib.empty())
      return InvalidArgument("--calib keeps its statistics beside the artifact: give -o FILE");
    return RunPack(*o);
  });
}

}  // namespace ingot::cli
