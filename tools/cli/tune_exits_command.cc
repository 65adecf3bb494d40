// `ingot tune-exits`: what exits give and cost, and the threshold that keeps a promise.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "files/output.h"
#include "inspect/summary.h"
#include "inspect/text_format.h"
#include "jobs/exits_job.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "tools/cli/number_checks.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

using jobs::ExitPoint;

struct TuneExitsCommand {
  jobs::ExitsJobOptions job;
  KeyOption sign;
  double max_kl = 0;
  bool json = false, quiet = false;
};

std::string RuleName(const ExitPoint& point) {
  switch (point.rule) {
    case ExitPoint::Rule::kRouters:
      return fmt::format("{:g}", point.threshold);
    case ExitPoint::Rule::kChance:
      return "by chance";
    case ExitPoint::Rule::kDepth:
      return "at one depth";
  }
  return "?";
}

std::vector<std::string> Row(const ExitPoint& point, std::size_t layers) {
  const loader::EvalResult& m = point.measured;
  return {RuleName(point),
          fmt::format("{:.2f} of {}", point.kept_layers, layers),
          fmt::format("{:.4f} ± {:.4f}", m.kl_mean, m.kl_mean_stderr),
          fmt::format("{:.1f} ± {:.1f} %", 100 * m.top1_agreement, 100 * m.top1_agreement_stderr),
          fmt::format("{:+.2f} ± {:.2f} %", m.delta_perplexity_percent,
                      m.delta_perplexity_percent_stderr),
          point.rule == ExitPoint::Rule::kRouters
              ? fmt::format("{:.2f} ± {:.2f}", point.speed.value, point.speed.stderr_of_value)
              : ""};
}

inspect::Json PointJson(const ExitPoint& point) {
  const loader::EvalResult& m = point.measured;
  inspect::Json json = {
      {"rule", point.rule == ExitPoint::Rule::kRouters ? "routers" : RuleName(point)},
      {"threshold", point.threshold},
      {"kept_layers", point.kept_layers},
      {"kl", m.kl_mean},
      {"kl_stderr", m.kl_mean_stderr},
      {"top1", m.top1_agreement},
      {"delta_perplexity_percent", m.delta_perplexity_percent},
      {"delta_perplexity_percent_stderr", m.delta_perplexity_percent_stderr},
      {"tokens", m.tokens}};
  if (point.rule == ExitPoint::Rule::kRouters) {
    json["speed"] = point.speed.value;
    json["speed_stderr"] = point.speed.stderr_of_value;
  }
  return json;
}

void Print(const TuneExitsCommand& command, const jobs::ExitsJobResult& result) {
  if (command.json) {
    inspect::Json json = {{"layers", result.layers}, {"text", result.text}};
    for (const ExitPoint& point : result.points) json["points"].push_back(PointJson(point));
    json["chosen"] = result.chosen ? inspect::Json(*result.chosen) : inspect::Json(nullptr);
    fmt::print("{}\n", untrusted::PrintableJson(json));
    return;
  }
  PrintPage("{}, on {}\n", untrusted::Printable(command.job.artifact),
            untrusted::Printable(result.text));
  std::vector<std::vector<std::string>> rows = {
      {"threshold", "kept layers", "KL", "top-1", "perplexity", "speed"}};
  for (const ExitPoint& point : result.points) rows.push_back(Row(point, result.layers));
  PrintRows(rows);
  if (!command.job.max_kl) return;
  if (result.chosen)
    PrintPage("threshold {:g} keeps {:g} nats\n", *result.chosen, *command.job.max_kl);
  else
    PrintPage("no threshold keeps {:g} nats\n", *command.job.max_kl);
}

Status Run(TuneExitsCommand& command) {
  jobs::ExitsJobOptions& job = command.job;
  INGOT_ASSIGN(const auto sign, LoadSigningKey(command.sign));
  job.sign = PointerTo(sign);
  job.tool = "ingot " INGOT_VERSION;
  if (command.max_kl > 0) job.max_kl = command.max_kl;
  JobLine line({.progress = command.quiet || command.json, .notes = command.quiet});
  INGOT_ASSIGN(const jobs::ExitsJobResult result, jobs::RunExitsJob(job, line.monitor()));
  line.Clear();
  Print(command, result);
  if (result.report && !command.quiet)
    PrintError("{}: {}, {}; root blake3:{}\n", untrusted::Printable(job.output),
               inspect::HumanBytes(result.report->file_bytes),
               sign ? "signed anew" : "not signed: signatures of the other are not its own",
               result.report->root_hex);
  return OkStatus();
}

}  // namespace

void AddTuneExitsCommand(CLI::App& app, Outcome& outcome) {
  auto o = std::make_shared<TuneExitsCommand>();
  CLI::App* c = app.add_subcommand(
      "tune-exits",
      "what leaving layers out gives and costs, and the threshold that keeps --max-kl");
  c->add_option("FILE", o->job.artifact, "an artifact with exits (ingot calibrate --routers)")
      ->required();
  c->add_option("--text", o->job.texts, "texts to measure on")->type_name("FILE")->required();
  c->add_option(
       "--max-kl", o->max_kl,
       "largest divergence from all layers, in nats: the threshold with the fewest layers is "
       "chosen")
      ->type_name("NATS")
      ->check(AboveZero());
  c->add_option("-o,--output", o->job.output, "write the artifact with that threshold")
      ->type_name("FILE");
  c->add_option("--thresholds", o->job.thresholds,
                "to try; of routers of --label kl divergences, of --label cosine probabilities")
      ->type_name("LIST")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(RealNumber(0, 1e6, /*above=*/false, "from 0 to 1000000"));
  const auto add = [&](const char* name, std::size_t& value, const char* help, std::size_t least) {
    c->add_option(name, value, help)
        ->type_name("N")
        ->transform(WholeNumber(least))
        ->capture_default_str();
  };
  add("--min-layers", o->job.min_layers, "layers that every token runs", 0);
  add("--interval", o->job.interval, "only exits after a multiple of so many layers", 1);
  add("--tokens", o->job.tokens, "of the text, 0: all", 0);
  add("--context", o->job.context, "tokens of a window", 2);
  c->add_flag("--force", o->job.force, "replace an existing output");
  c->add_flag("--json", o->json, "one JSON object");
  c->add_flag("-q,--quiet", o->quiet, "no progress");
  AddSigningKeyOptions(c, "--sign", o->sign);
  AddThreadsOption(c);
  OnRun(c, outcome, [o] { return Run(*o); });
}

}  // namespace ingot::cli
