#include "tools/cli/tune_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "inspect/text_format.h"
#include "jobs/tune_job.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "tools/cli/learning_options.h"
#include "tools/cli/number_checks.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

struct TuneCommand {
  jobs::TuneJobOptions options;
  std::string memory;
  KeyOption sign;
  bool quiet = false;
};

void PrintReport(const std::string& output, const jobs::TuneJobResult& result) {
  double before = 0, after = 0;
  std::size_t kept = 0, parameters = 0;
  for (const calibration::TunedBlock& block : result.tuned.blocks) {
    before += block.before;
    after += block.kept ? block.after : block.before;
    kept += block.kept ? 1 : 0;
    parameters += block.parameters;
  }
  const double blocks = static_cast<double>(std::max<std::size_t>(result.tuned.blocks.size(), 1));
  PrintPage(
      "{}: {}; {} of {} layers tuned, {} values; error of a layer's output on held-out text "
      "{:.3g} -> {:.3g}\nroot blake3:{}\n",
      untrusted::Printable(output), inspect::HumanBytes(result.report.file_bytes), kept,
      result.tuned.blocks.size(), parameters, before / blocks, after / blocks,
      result.report.root_hex);
}

Status RunTune(const TuneCommand& command, const jobs::Tuner& tuner, const std::string& tool) {
  jobs::TuneJobOptions options = command.options;
  if (!command.memory.empty()) {
    INGOT_ASSIGN(options.memory_bytes, ParseMemory(command.memory));
  }
  std::optional<artifact::SigningKey> key;
  INGOT_ASSIGN(const files::Output output, OpenRewrite(options, command.sign, tool, key));
  JobLine line({.progress = command.quiet});
  INGOT_ASSIGN(const jobs::TuneJobResult result, jobs::RunTuneJob(options, tuner, line.monitor()));
  line.Clear();
  if (!command.quiet) PrintReport(options.output, result);
  return OkStatus();
}

void AddOptions(CLI::App& app, TuneCommand& command) {
  jobs::TuneJobOptions& c = command.options;
  app.add_option("FILE", c.artifact, "the artifact")->required();
  app.add_option("--reference", c.reference, "the model it was made from")->required();
  app.add_option("-o,--output", c.output, "the tuned artifact")->required();
  AddTextOptions(app, c.texts, c.tokens, c.context, 2);
  app.add_option("--epochs", c.epochs, "times over the text")
      ->transform(WholeNumber(1, 1000))
      ->capture_default_str();
  app.add_option("--rate", c.rate, "first step, relative to a value")
      ->check(AboveZero())
      ->capture_default_str();
  app.add_option("--seed", c.seed, "of the order of windows")
      ->transform(Seed())
      ->capture_default_str();
  app.add_option("--memory", command.memory, "most memory, like 3GiB (half of the machine's)");
  AddRewriteOptions(app, command.sign, c.force, command.quiet);
}

}  // namespace

void AddTuneOptions(CLI::App* command) {
  auto options = std::make_shared<TuneCommand>();
  AddOptions(*command, *options);
  command->callback([options] {});  // which keeps what they are bound to
}

int TuneMain(int argc, char** argv, const jobs::Tuner& tuner, const std::string& tool,
             const Status& absent) {
  std::string about =
      "Moves the scales, zeros and norms of an artifact so that each layer puts out what the "
      "source's does; codes stay. Kept where held-out text says that it helps.";
  if (!tuner)
    about +=
        " It needs gradients, and so LibTorch, which this build has not: tools/setup --torch "
        "(1.2 GB), then configure and build again.";
  CLI::App app(about, "ingot tune");
  TuneCommand command;
  AddOptions(app, command);
  return ParseAndRun(app, argc, argv, "ingot tune --help",
                     [&] { return tuner ? RunTune(command, tuner, tool) : absent; });
}

}  // namespace ingot::cli
