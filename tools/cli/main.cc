// The `ingot` program: one subcommand a file, over the rooms. Exit codes are in common.h.
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "base/parallel.h"
#include "files/processors.h"
#include "tools/cli/common.h"
#include "tools/cli/signals.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

constexpr const char* kFooter =
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 corrupt, 4 untrusted, 5 not found.";

// The error of a command line in one line; help and version go to stdout.
int OnParseError(const CLI::App& app, const CLI::ParseError& error, std::string_view first) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
  std::string message = error.what();
  if (!first.empty() && first[0] != '-' && app.get_subcommands().empty())
    message = fmt::format("unknown command '{}'", first);
  for (char& c : message)
    if (c == '\n') c = ' ';
  fmt::print(stderr, "ingot: {} (see ingot --help)\n", untrusted::Printable(message));
  return kUsage;
}

int Main(int argc, char** argv) {
  CLI::App app("Casts a large language model into one compact, verifiable file, and runs it.",
               "ingot");
  app.set_version_flag("--version", "ingot " INGOT_VERSION);
  app.require_subcommand(1);
  app.footer(kFooter);
  Outcome outcome;
  SetThreads(FindProcessors().usable());
  if (IsCalibrate(argc, argv)) return RunCalibrateBeside(argc, argv);
  AddCalibrateCommand(app, outcome);
  AddTuneCommand(app, outcome);
  AddImatrixCommand(app, outcome);
  AddPackCommand(app, outcome);
  AddInspectCommand(app, outcome);
  AddVerifyCommand(app, outcome);
  AddEvalCommand(app, outcome);
  AddRunCommand(app, outcome);
  AddBenchCommand(app, outcome);
  AddExportCommand(app, outcome);
  AddKeygenCommand(app, outcome);
  AddSignCommand(app, outcome);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return OnParseError(app, error, argc > 1 ? argv[1] : "");
  }
  return outcome.exit_code;
}

}  // namespace
}  // namespace ingot::cli

int main(int argc, char** argv) {
  const ingot::files::SignalGuard guard(ingot::cli::EndBySignal);
  int exit_code = ingot::cli::kOk;
  ingot::cli::RunMain(ingot::cli::Main, argc, argv, exit_code);
  return exit_code;
}
