#include "tools/cli/calibrate_classes.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <vector>

#include "inspect/text_format.h"
#include "jobs/classes_job.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "tools/cli/learning_options.h"
#include "tools/cli/number_checks.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

struct ClassesCommand {
  jobs::ClassesJobOptions options;
  KeyOption sign;
  bool quiet = false;
};

void PrintReport(const std::string& output, const jobs::ClassesJobResult& result) {
  PrintPage("{}: {}; learned from {} windows, judged on {} others\n", untrusted::Printable(output),
            inspect::HumanBytes(result.report.file_bytes), result.windows - result.held_out,
            result.held_out);
  PrintPage(
      "  class 0 for all costs {:.4f} nats a token (geometric mean); what is said of a token goes "
      "with what it costs by {:.2f} from its id alone, {:.2f} before its step, {:.2f} after layer "
      "{}\n",
      result.mean_kl, result.id_correlation, result.before_correlation, result.probe_correlation,
      result.probe_after);
  std::vector<std::vector<std::string>> rows = {
      {"of class 0", "others of class 1: KL", "bits read"}};
  for (const jobs::ClassMix& mix : result.mixes)
    rows.push_back({fmt::format("{:.0f} %", 100 * mix.share),
                    fmt::format("{:.4f} ± {:.4f}", mix.kl, mix.kl_stderr),
                    fmt::format("{:.2f}", mix.bits_a_weight)});
  if (rows.size() > 1) PrintRows(rows);
  PrintPage("root blake3:{}\n", result.report.root_hex);
  if (result.before_correlation <= 0 && result.probe_correlation <= 0)
    Warn(
        "what is said of tokens says nothing of what they cost: classes are no better than chance");
}

Status RunClasses(const ClassesCommand& command, const std::string& tool) {
  jobs::ClassesJobOptions options = command.options;
  std::optional<artifact::SigningKey> key;
  INGOT_ASSIGN(const files::Output output, OpenRewrite(options, command.sign, tool, key));
  JobLine line({.progress = command.quiet});
  INGOT_ASSIGN(const jobs::ClassesJobResult result, jobs::RunClassesJob(options, line.monitor()));
  line.Clear();
  if (!command.quiet) PrintReport(options.output, result);
  return OkStatus();
}

void AddOptions(CLI::App& app, ClassesCommand& command) {
  jobs::ClassesJobOptions& c = command.options;
  app.add_option("--classes", c.artifact, "the artifact whose planes are run")
      ->type_name("FILE")
      ->required();
  app.add_option("-o,--output", c.output, "the artifact that knows its tokens")->required();
  AddTextOptions(app, c.texts, c.tokens, c.context, 4);
  app.add_option("--probe-after", c.probe_after,
                 "layers before a token's class is told anew from its state; 0: a quarter of them")
      ->transform(WholeNumber())
      ->capture_default_str();
  app.add_flag(
      "--tokens-only", c.tokens_only,
      "neither which layers need their planes nor what mixes cost, which takes most of the "
      "time; no --precision mixed and no --precision-kl then");
  AddRewriteOptions(app, command.sign, c.force, command.quiet);
}

}  // namespace

int ClassesMain(int argc, char** argv, const std::string& tool) {
  CLI::App app(
      "Learns which tokens need all of an artifact's planes, from what its own planes make of a "
      "text.",
      "ingot calibrate");
  ClassesCommand command;
  AddOptions(app, command);
  return ParseAndRun(app, argc, argv, "ingot calibrate --classes --help",
                     [&] { return RunClasses(command, tool); });
}

}  // namespace ingot::cli
