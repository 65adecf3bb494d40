// `ingot analyze`: a text token by token.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "files/atomic_file.h"
#include "files/output.h"
#include "inspect/summary.h"
#include "jobs/analyze_job.h"
#include "tools/cli/analysis_picture.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "tools/cli/number_checks.h"
#include "tools/cli/policy_options.h"
#include "untrusted/printable.h"
#include "untrusted/text_input.h"

namespace ingot::cli {
namespace {

using jobs::AnalyzedToken;

struct AnalyzeCommand {
  jobs::AnalyzeJobOptions job;
  std::string prompt, picture;
  KeyOption key;
  ExitChoice exits;
  PrecisionChoice precision;
  bool force = false, json = false, quiet = false;
};

inspect::Json TokenJson(const AnalyzedToken& token) {
  inspect::Json json = {{"id", token.id},
                        {"text", untrusted::Printable(token.text)},
                        {"next", untrusted::Printable(token.next)},
                        {"entropy", token.entropy},
                        {"surprise", token.surprise}};
  if (token.precision)
    json["precision"] = {{"importance", token.precision->importance},
                         {"probed_importance", token.precision->probed_importance},
                         {"class_below", token.precision->below},
                         {"class_above", token.precision->above},
                         {"kl", token.precision->kl}};
  if (token.exit) json["exit"] = {{"layers", token.exit->layers}, {"kl", token.exit->kl}};
  if (token.draft)
    json["draft"] = {{"accepted", token.draft->accepted},
                     {"probability", token.draft->probability},
                     {"kl", token.draft->kl}};
  return json;
}

inspect::Json ResultJson(const jobs::AnalyzeJobResult& result) {
  inspect::Json json = {{"layers", result.layers},
                        {"draft_planes", result.draft_planes},
                        {"whole_bits_a_weight", result.whole_bits_a_weight},
                        {"missing", result.missing},
                        {"tokens", inspect::Json::array()}};
  json["bits_a_weight"] =
      result.bits_a_weight ? inspect::Json(*result.bits_a_weight) : inspect::Json(nullptr);
  for (const AnalyzedToken& token : result.tokens) json["tokens"].push_back(TokenJson(token));
  return json;
}

void PrintTable(const jobs::AnalyzeJobResult& result) {
  std::vector<std::vector<std::string>> rows = {
      {"token", "entropy", "surprise", "importance", "class, KL", "layers, KL", "draft, KL"}};
  for (const AnalyzedToken& token : result.tokens) {
    std::vector<std::string> row = {fmt::format("'{}'", untrusted::Printable(token.text)),
                                    fmt::format("{:.2f}", token.entropy),
                                    fmt::format("{:.2f}", token.surprise)};
    row.resize(rows[0].size());
    if (token.precision) {
      row[3] = fmt::format("{:.2f} {:.2f}", token.precision->importance,
                           token.precision->probed_importance);
      row[4] = fmt::format("{} {} {:.4f}", token.precision->below, token.precision->above,
                           token.precision->kl);
    }
    if (token.exit) row[5] = fmt::format("{} {:.4f}", token.exit->layers, token.exit->kl);
    if (token.draft)
      row[6] = fmt::format("{} {:.4f}", token.draft->accepted ? "right" : "wrong", token.draft->kl);
    rows.push_back(std::move(row));
  }
  PrintRows(rows);
  fmt::print("\n");
  for (const auto& [name, value] : AnalysisSummary(result))
    PrintPage("  {:<16}  {}\n", name, untrusted::Printable(value));
}

Status WritePicture(const AnalyzeCommand& command, const jobs::AnalyzeJobResult& result,
                    files::Output& output) {
  const std::string picture =
      command.picture.ends_with(".svg")
          ? AnalysisSvg(result)
          : AnalysisHtml(result, "ingot analyze " + untrusted::Printable(command.job.artifact));
  return files::WriteFileAtomic(output.path(), AsBytes(picture));
}

Status Run(AnalyzeCommand& command) {
  jobs::AnalyzeJobOptions& job = command.job;
  INGOT_ASSIGN(const auto key, LoadVerifyingKey(command.key));
  job.key = PointerTo(key);
  job.text = command.prompt;
  if (command.prompt == "-") {
    INGOT_ASSIGN(job.text, untrusted::ReadText(command.prompt));
  }
  std::optional<files::Output> output;
  if (!command.picture.empty()) {
    if (!command.picture.ends_with(".svg") && !command.picture.ends_with(".html"))
      return InvalidArgument(command.picture + ": a picture is an .html or an .svg file");
    auto opened = files::Output::Open(
        command.picture, {.option = "--visualize", .force = command.force, .streams = false});
    if (!opened.ok()) return std::move(opened).status();
    output.emplace(*std::move(opened));
  }
  command.precision.mode = loader::PrecisionOptions::Mode::kAdaptive;
  INGOT_ASSIGN(const auto precision, ChoosePrecision(command.precision));
  job.thresholds = precision->thresholds;
  job.max_kl = precision->max_kl;
  if (command.exits.given())
    job.exits = [&command](const loader::Model& model) {
      return ChooseExits(command.exits, model);
    };
  JobLine line({.progress = command.quiet || command.json, .notes = command.quiet});
  INGOT_ASSIGN(const jobs::AnalyzeJobResult result, jobs::RunAnalyzeJob(job, line.monitor()));
  line.Clear();
  if (output) INGOT_TRY(WritePicture(command, result, *output));
  if (command.json)
    fmt::print("{}\n", untrusted::PrintableJson(ResultJson(result)));
  else if (!command.quiet)
    PrintTable(result);
  return OkStatus();
}

}  // namespace

void AddAnalyzeCommand(CLI::App& app, Outcome& outcome) {
  auto o = std::make_shared<AnalyzeCommand>();
  CLI::App* c = app.add_subcommand(
      "analyze", "a text token by token: importance, class, exit, draft, and what each costs");
  c->add_option("FILE", o->job.artifact, "artifact")->required();
  c->add_option("-p,--prompt", o->prompt, "the text; - reads it from stdin")
      ->type_name("TEXT")
      ->required();
  c->add_option("--visualize", o->picture, "a picture of it: out.html or out.svg, self-contained")
      ->type_name("FILE");
  AddExitOptions(c, o->exits);
  AddClassOptions(c, o->precision);
  c->add_option("--levels", o->job.levels, "refinement levels to use, by default all")
      ->type_name("N")
      ->transform(WholeNumber(1, 64));
  c->add_flag("--force", o->force, "replace a picture that is there");
  c->add_flag("--json", o->json, "one JSON object");
  AddMaxDecodedOption(c, o->job.max_decoded_bytes);
  AddVerifyingKeyOptions(c, o->key);
  c->add_flag("-q,--quiet", o->quiet, "no progress, and with --visualize no table");
  AddThreadsOption(c);
  OnRun(c, outcome, [o] { return Run(*o); });
}

}  // namespace ingot::cli
