#include "tools/cli/calibrate_draft_layers.h"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "inspect/text_format.h"
#include "jobs/draft_layers_job.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "tools/cli/learning_options.h"
#include "tools/cli/number_checks.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

struct DraftLayersCommand {
  jobs::DraftLayersJobOptions options;
  KeyOption sign;
  bool quiet = false;
};

void PrintReport(const std::string& output, const jobs::DraftLayersJobResult& result) {
  PrintPage("{}: {}; searched on {} windows, judged on {} others; {} lists tried\n",
            untrusted::Printable(output), inspect::HumanBytes(result.report.file_bytes),
            result.windows - result.held_out, result.held_out, result.lists);
  PrintPage("  drafts leave out {} of {} layers: {} (from 0)\n", result.left_out.size(),
            result.layers, fmt::join(result.left_out, ", "));
  PrintPage(
      "  a draft's token reads {:.2f} of what a step does; its distribution and the whole model's "
      "overlap by {:.3f} ({:.3f} where it was searched), the likeliest token is the same for "
      "{:.3f}\n",
      result.share, result.held.overlap, result.searched.overlap, result.held.same);
  PrintPage("  modelled: {:.2f} of plain decoding's speed, with drafts of {}\nroot blake3:{}\n",
            result.modelled.speed, result.modelled.length, result.report.root_hex);
  if (result.modelled.speed <= 1)
    Warn(
        "no list of layers pays on this text; the best one is written, and --speculate layers "
        "decides as it goes");
}

Status RunDraftLayers(const DraftLayersCommand& command, const std::string& tool) {
  jobs::DraftLayersJobOptions options = command.options;
  std::optional<artifact::SigningKey> key;
  INGOT_ASSIGN(const files::Output output, OpenRewrite(options, command.sign, tool, key));
  JobLine line({.progress = command.quiet});
  INGOT_ASSIGN(const jobs::DraftLayersJobResult result,
               jobs::RunDraftLayersJob(options, line.monitor()));
  line.Clear();
  if (!command.quiet) PrintReport(options.output, result);
  return OkStatus();
}

void AddOptions(CLI::App& app, DraftLayersCommand& command) {
  jobs::DraftLayersJobOptions& c = command.options;
  app.add_option("--draft-layers", c.artifact, "the artifact whose layers are left out")
      ->type_name("FILE")
      ->required();
  app.add_option("-o,--output", c.output, "the artifact that lists them")->required();
  AddTextOptions(app, c.texts, c.tokens, c.context, 4);
  app.add_option("--trials", c.trials, "changes at random of the best list found")
      ->transform(WholeNumber())
      ->capture_default_str();
  app.add_option("--seed", c.seed, "of these")->transform(Seed())->capture_default_str();
  AddRewriteOptions(app, command.sign, c.force, command.quiet);
}

}  // namespace

int DraftLayersMain(int argc, char** argv, const std::string& tool) {
  CLI::App app("Finds the layers that an artifact's drafts of its own text can do without.",
               "ingot calibrate");
  DraftLayersCommand command;
  AddOptions(app, command);
  return ParseAndRun(app, argc, argv, "ingot calibrate --draft-layers --help",
                     [&] { return RunDraftLayers(command, tool); });
}

}  // namespace ingot::cli
