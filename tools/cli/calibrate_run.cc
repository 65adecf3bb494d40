#include "tools/cli/calibrate_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "files/output.h"
#include "inspect/text_format.h"
#include "tools/cli/calibrate_classes.h"
#include "tools/cli/calibrate_draft_layers.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "tools/cli/learning_options.h"
#include "tools/cli/number_checks.h"
#include "tools/cli/routers_run.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

constexpr std::size_t kNotesShown = 8;

struct CalibrateCommand {
  jobs::CalibrateJobOptions options;
  std::string memory, routers, classes, draft_layers;
  bool force = false, quiet = false;
};

void PrintPlan(const jobs::CalibrationPlan& plan) {
  using inspect::HumanBytes;
  const auto& [sources, memory, cost, fit, seconds, resumed] = plan;
  for (const std::string& source : sources) PrintError("text: {}\n", untrusted::Printable(source));
  WriteErrorPage(
      fmt::format("memory: {} ({} for the largest stage, {} a window, {} at once; allowed {})\n"
                  "disk: {} while it runs, {} for the statistics\n"
                  "time: about {:.0f} minutes on {} threads\n",
                  HumanBytes(cost.fixed_bytes + fit.running * cost.window_bytes +
                             (fit.held - fit.running) * cost.waiting_bytes),
                  HumanBytes(cost.fixed_bytes), HumanBytes(cost.window_bytes), fit.running,
                  HumanBytes(memory), HumanBytes(cost.work_bytes), HumanBytes(cost.output_bytes),
                  std::max(1.0, seconds / 60), fit.running));
  if (resumed) PrintError("going on where an earlier run stopped\n");
}

// The line's own, but for warnings past the first few.
jobs::Monitor MonitorOf(JobLine& line) {
  jobs::Monitor monitor = line.monitor();
  monitor.warning = [warn = monitor.warning,
                     warnings = std::size_t{0}](const std::string& text) mutable {
    if (++warnings <= kNotesShown) warn(text);
    if (warnings == kNotesShown + 1)
      warn("more of the kind: all are in the file's metadata, under 'notes'");
  };
  return monitor;
}

Status RunCalibrate(const CalibrateCommand& command, const jobs::Calibrator& calibrator,
                    const std::string& tool) {
  jobs::CalibrateJobOptions options = command.options;
  if (!command.memory.empty()) {
    INGOT_ASSIGN(options.memory_bytes, ParseMemory(command.memory));
  }
  options.tool = tool;
  std::optional<files::Output> output;  // --plan-only writes none
  if (!options.plan_only) {
    auto opened = files::Output::Open(options.output, {.force = command.force, .streams = false});
    if (!opened.ok()) return std::move(opened).status();
    output.emplace(*std::move(opened));
    options.output = output->path();
  }
  JobLine line({.progress = command.quiet});
  options.plan = [&](const jobs::CalibrationPlan& plan) {
    line.Clear();
    if (!command.quiet || options.plan_only) PrintPlan(plan);
  };
  return jobs::RunCalibrateJob(options, calibrator, MonitorOf(line));
}

void AddOptions(CLI::App& app, bool gradients, CalibrateCommand& command) {
  jobs::CalibrateJobOptions& c = command.options;
  app.add_option("model", c.model, "a Hugging Face directory or a GGUF file")->required();
  app.add_option("-o,--output", c.output, "the statistics file")->required();
  app.add_option("--text", c.texts,
                 "plain text or .jsonl, or several by weight; 'self' is what the model writes (the "
                 "default)")
      ->type_name("FILE[:WEIGHT]");
  app.add_option("--tokens", c.tokens, "tokens forward")
      ->transform(WholeNumber(1))
      ->capture_default_str();
  CLI::Option* backward = app.add_option(
      "--backward-tokens", c.backward_tokens,
      gradients ? "of these, tokens with gradients; 0: none"
                : "of these, tokens with gradients: needs LibTorch (tools/setup --torch)");
  backward->transform(WholeNumber());
  if (gradients)
    backward->default_str(std::to_string(jobs::kBackwardTokens));
  else
    app.add_option("--probe-tokens", c.probe_tokens,
                   "tokens over which each matrix is disturbed, to see how much is heard of it; 0: "
                   "not")
        ->transform(WholeNumber(0, 1 << 20))
        ->capture_default_str();
  app.add_option("--context", c.context, "tokens a window")
      ->transform(WholeNumber(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--seed", c.seed, "of what is sampled")->transform(Seed())->capture_default_str();
  app.add_option("--memory", command.memory, "most memory, like 3GiB (half of the machine's)");
  app.add_option("--sequential", c.sequential,
                 "ARTIFACT of this model: inputs are taken as its quantized weights make them");
  app.add_option("--fisher-from", c.gradients_from,
                 gradients
                     ? "STATS of this model whose gradients are taken over instead of run anew"
                     : "STATS whose gradients are taken over: needs LibTorch");
  app.add_option("--routers", command.routers,
                 gradients
                     ? "FILE: instead, give this artifact exits (--routers FILE --help says more)"
                     : "FILE: instead, give this artifact exits: needs LibTorch");
  app.add_option(
      "--classes", command.classes,
      "FILE: instead, learn which tokens need this artifact's planes (--classes FILE --help "
      "says more)");
  app.add_option(
      "--draft-layers", command.draft_layers,
      "FILE: instead, find the layers that this artifact's drafts leave out (--draft-layers FILE "
      "--help says more)");
  app.add_flag("--plan-only", c.plan_only, "say what it will take and stop");
  app.add_flag("--force", command.force, "replace an existing output");
  app.add_flag("-q,--quiet", command.quiet, "no plan and no progress");
  AddThreadsOption(&app);
}

}  // namespace

void AddCalibrateOptions(CLI::App* command, bool gradients) {
  auto options = std::make_shared<CalibrateCommand>();
  AddOptions(*command, gradients, *options);
  command->callback([options] {});  // which keeps what they are bound to
}

int CalibrateMain(int argc, char** argv, const jobs::Calibrator& calibrator,
                  const std::string& tool) {
  CLI::App app(calibrator.gradients
                   ? "Takes the statistics that packing spends bits by: what every matrix is fed, "
                     "and how much the model hears of every output."
                   : "Takes the statistics that packing spends bits by: what every matrix is fed, "
                     "and how much the model hears of it. This build has no LibTorch: nothing "
                     "runs backward.",
               "ingot calibrate");
  if (GivesOption(argc, argv, "--routers"))
    return RoutersMain(argc, argv, {}, tool,
                       Unsupported("--routers trains, and so needs LibTorch, which this build has "
                                   "not: tools/setup --torch, then configure and build again"));
  if (GivesOption(argc, argv, "--classes")) return ClassesMain(argc, argv, tool);
  if (GivesOption(argc, argv, "--draft-layers")) return DraftLayersMain(argc, argv, tool);
  CalibrateCommand command;
  AddOptions(app, calibrator.gradients, command);
  return ParseAndRun(app, argc, argv, "ingot calibrate --help",
                     [&] { return RunCalibrate(command, calibrator, tool); });
}

}  // namespace ingot::cli
