// `ingot-calibrate`, run by `ingot calibrate` and, with "tune" as its first word, by `ingot tune`:
// the one program that links LibTorch.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "base/parallel.h"
#include "calibration/torch/calibrate.h"
#include "inspect/text_format.h"
#include "jobs/self_text.h"
#include "jobs/sequential_prefix.h"
#include "model/tokenizer/tokenizer.h"
#include "tools/calibrate/tune_artifact.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "tools/cli/signals.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

constexpr std::size_t kNotesShown = 8;
constexpr std::uint64_t kBackwardTokens = 16384;

struct CalibrateCommand {
  std::string model, output, memory, sequential, gradients_from;
  std::vector<std::string> texts;
  std::uint64_t tokens = 65536, seed = 0;
  std::uint64_t backward_tokens = kBackwardTokens;  // no more than tokens where nobody says
  bool names_backward = false;
  std::size_t context = 512;
  bool plan_only = false, quiet = false;
};

std::uint64_t HalfOfMemory() {
  const auto pages = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 2;
}

Result<calibration::TokenWindows> TextOf(const CalibrateCommand& command,
                                         const model::Checkpoint& checkpoint,
                                         const jobs::Monitor& monitor) {
  if (command.texts.empty() || (command.texts.size() == 1 && command.texts[0] == "self"))
    return jobs::RunSelfTextJob({command.model, command.output + ".self.ingot", command.tokens,
                                 command.context, command.seed},
                                monitor);
  std::vector<calibration::TextSpec> specs;
  for (const std::string& text : command.texts) {
    if (text == "self") return InvalidArgument("'self' stands alone, not beside other texts");
    INGOT_ASSIGN(calibration::TextSpec spec, calibration::ParseTextSpec(text));
    specs.push_back(std::move(spec));
  }
  INGOT_ASSIGN(const auto tokenizer, model::Tokenizer::FromAssets(checkpoint.assets()));
  return calibration::CutWindows(specs, *tokenizer, command.tokens, command.context);
}

void PrintPlan(const calibration::TokenWindows& text, std::uint64_t memory,
               const calibration::CalibrationCost& cost, const calibration::Concurrency& fit,
               double seconds, bool resumed) {
  using inspect::HumanBytes;
  for (const std::string& source : text.sources)
    fmt::print(stderr, "text: {}\n", untrusted::Printable(source));
  fmt::print(stderr,
             "memory: {} ({} for the largest stage, {} a window, {} at once; allowed {})\n"
             "disk: {} while it runs, {} for the statistics\n"
             "time: about {:.0f} minutes on {} threads\n",
             HumanBytes(cost.fixed_bytes + fit.running * cost.window_bytes +
                        (fit.held - fit.running) * cost.waiting_bytes),
             HumanBytes(cost.fixed_bytes), HumanBytes(cost.window_bytes), fit.running,
             HumanBytes(memory), HumanBytes(cost.work_bytes), HumanBytes(cost.output_bytes),
             std::max(1.0, seconds / 60), fit.running);
  if (resumed) fmt::print(stderr, "going on where an earlier run stopped\n");
}

Status RunCalibrate(const CalibrateCommand& command) {
  calibration::CalibrateOptions options;
  options.memory_bytes = HalfOfMemory();
  if (!command.memory.empty()) {
    INGOT_ASSIGN(options.memory_bytes, ParseSize(command.memory));
  }
  options.gradients_from = command.gradients_from;
  if (!options.gradients_from.empty() && command.names_backward)
    return InvalidArgument("--fisher-from takes gradients over: no --backward-tokens with it");
  const std::uint64_t backward_tokens = !options.gradients_from.empty() ? 0
                                        : command.names_backward
                                            ? command.backward_tokens
                                            : std::min(kBackwardTokens, command.tokens);
  if (backward_tokens > command.tokens)
    return InvalidArgument(fmt::format("--backward-tokens {} are more than --tokens {}",
                                       backward_tokens, command.tokens));
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(command.model));
  INGOT_ASSIGN(const model::Architecture architecture,
               model::BuildArchitecture(checkpoint->config(), [&](std::string_view name) {
                 return checkpoint->Find(name) != nullptr;
               }));
  INGOT_TRY(calibration::CheckCanCalibrate(architecture));
  JobLine line({.progress = command.quiet});
  const jobs::Monitor monitor = line.monitor();
  INGOT_ASSIGN(const calibration::TokenWindows text, TextOf(command, *checkpoint, monitor));
  line.Clear();
  options.output = command.output;
  options.seed = command.seed;
  options.plan_only = command.plan_only;
  options.backward_windows = backward_tokens / command.context;
  options.metadata["tool"] = "ingot-calibrate " INGOT_VERSION;
  options.metadata["text"] = fmt::format("{}", fmt::join(text.sources, "; "));
  std::size_t notes = 0;
  options.on_note = [&](const std::string& note) {
    line.Clear();
    if (++notes <= kNotesShown) Warn(note);
    if (notes == kNotesShown + 1)
      Warn("more of the kind: all are in the file's metadata, under 'notes'");
  };
  options.on_progress = [&](std::size_t done, std::size_t total, const std::string& what) {
    (void)monitor.Tell({"calibrating", done, total, what});
  };
  options.on_plan = [&](const calibration::CalibrationCost& cost,
                        const calibration::Concurrency& fit, double seconds, bool resumed) {
    if (!command.quiet || command.plan_only)
      PrintPlan(text, options.memory_bytes, cost, fit, seconds, resumed);
  };
  if (command.sequential.empty() || command.plan_only)
    return calibration::Calibrate(*checkpoint, architecture, text, options);
  INGOT_ASSIGN(jobs::SequentialPrefix prefix,
               jobs::OpenSequentialPrefix(command.sequential, command.output, monitor));
  line.Clear();
  options.prefix = prefix.weights.get();
  options.prefix_digest = prefix.digest;
  INGOT_TRY(calibration::Calibrate(*checkpoint, architecture, text, options));
  prefix.Remove();
  return OkStatus();
}

void AddOptions(CLI::App& app, CalibrateCommand& c) {
  app.add_option("model", c.model, "a Hugging Face directory or a GGUF file")->required();
  app.add_option("-o,--output", c.output, "the statistics file")->required();
  app.add_option("--text", c.texts,
                 "FILE[:WEIGHT], plain text or .jsonl, several; or 'self': sampled from the model "
                 "(the default)");
  app.add_option("--tokens", c.tokens, "tokens forward")->capture_default_str();
  app.add_option("--backward-tokens", c.backward_tokens, "of these, tokens with gradients; 0: none")
      ->capture_default_str();
  app.add_option("--context", c.context, "tokens a window")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--seed", c.seed, "of what is sampled")->capture_default_str();
  app.add_option("--memory", c.memory, "most memory, like 3GiB (half of the machine's)");
  app.add_option("--sequential", c.sequential,
                 "ARTIFACT of this model: inputs are taken as its quantized weights make them");
  app.add_option("--fisher-from", c.gradients_from,
                 "STATS of this model whose gradients are taken over instead of run anew");
  app.add_flag("--plan-only", c.plan_only, "say what it will take and stop");
  app.add_flag("-q,--quiet", c.quiet, "no plan and no progress");
  AddThreadsOption(&app);
}

int Main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "tune") return TuneMain(argc - 1, argv + 1);
  CLI::App app(
      "Takes the statistics that packing spends bits by: what every matrix is fed, and how "
      "much the model hears of every output.",
      "ingot calibrate");
  CalibrateCommand command;
  AddOptions(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return Fail(InvalidArgument(std::string(error.what()) + " (see ingot calibrate --help)"));
  }
  command.names_backward = app.count("--backward-tokens") > 0;
  if (const Status status = RunCalibrate(command); !status.ok()) return Fail(status);
  return kOk;
}

}  // namespace
}  // namespace ingot::cli

int main(int argc, char** argv) {
  const ingot::files::SignalGuard guard(ingot::cli::EndBySignal);
  try {
    return ingot::cli::Main(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("ingot: out of memory\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ingot: internal error: %s\n", error.what());
  }
  return ingot::cli::kFailed;
}
