// The `ingot` program: one subcommand a file, over the rooms. Exit codes are in common.h.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "loader/processors.h"
#include "tools/cli/command_pages.h"
#include "tools/cli/common.h"
#include "tools/cli/config_file.h"
#include "tools/cli/help_format.h"
#include "tools/cli/signals.h"
#include "tools/cli/suggest.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

constexpr const char* kFooter =
    "ingot COMMAND --help says more of each. Exit codes: 0 ok, 1 failed, 2 usage, 3 corrupt, "
    "4 untrusted, 5 not found.";

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names = {"help", "version"};
  for (const CLI::App* command : app.get_subcommands(nullptr)) names.push_back(command->get_name());
  return names;
}

const CLI::App* FindCommand(const CLI::App& app, std::string_view name) {
  for (const CLI::App* command : app.get_subcommands(nullptr))
    if (command->get_name() == name) return command;
  return nullptr;
}

// The error of a command line in one line, which names the help of the command it is about.
int OnParseError(const CLI::App& app, const CLI::ParseError& error,
                 const std::vector<std::string>& words, const std::string& config) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
  std::string message = config + error.what();
  for (char& c : message)
    if (c == '\n') c = ' ';
  const std::string first = words.empty() ? "" : words[0];
  const CLI::App* command = FindCommand(app, first);
  if (command != nullptr) {
    message += OptionMeant(*command, error);
  } else if (!first.empty() && first[0] != '-') {
    message = fmt::format("unknown command '{}'{}", first, DidYouMean(first, CommandNames(app)));
  }
  PrintError("ingot: {} (see ingot {}--help)\n", untrusted::Printable(message),
             command != nullptr ? first + " " : "");
  return kUsage;
}

// `ingot help completion SHELL` and `ingot help man [COMMAND]`, for whoever installs.
int PrintHelpPage(const CLI::App& app, const std::string& topic,
                  const std::vector<std::string>& words) {
  const std::string of = words.size() > 2 ? words[2] : "";
  const CLI::App* command = FindCommand(app, of);
  if (topic == "man" && !of.empty() && command == nullptr)
    return Fail(InvalidArgument(
        fmt::format("unknown command '{}'{}", of, DidYouMean(of, CommandNames(app)))));
  const std::string page =
      topic == "man" ? ManualPage(app, command, VersionLine()) : CompletionScript(app, of);
  if (page.empty())
    return Fail(
        InvalidArgument("completions are for bash, zsh and fish: ingot help completion bash"));
  fmt::print("{}", page);
  return kOk;
}

// "help", "help X", "version", "-V" as the options that they stand for; -1: nothing was printed.
int RunWords(const CLI::App& app, std::vector<std::string>& words) {
  if (words.empty()) {
    fmt::print("{}", app.help());
    return kOk;
  }
  if (words[0] == "version" || words[0] == "-V") words = {"--version"};
  if (words[0] != "help") return -1;
  if (words.size() == 1) {
    words = {"--help"};
    return -1;
  }
  const std::string topic = words[1];
  if (topic == "codecs" || topic == "targets") {
    fmt::print("{}", topic == "codecs" ? CodecsHelp() : TargetsHelp());
    return kOk;
  }
  if (topic == "completion" || topic == "man") return PrintHelpPage(app, topic, words);
  words = {topic, "--help"};
  if (topic != "help" && topic != "version" && FindCommand(app, topic) == nullptr)
    return Fail(InvalidArgument(fmt::format("unknown command '{}'{} (see ingot --help)", topic,
                                            DidYouMean(topic, CommandNames(app)))));
  if (topic == "help" || topic == "version") words = {"--help"};
  return -1;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Casts a large language model into one compact, verifiable file, and runs it.\n\n"
      "  ingot pack MODEL -o m.ingot        learn the model, round it, write it down\n"
      "  ingot run m.ingot -p \"...\"         generate",
      "ingot");
  app.formatter(std::make_shared<HelpFormat>());  // and of the commands
  app.set_version_flag("--version", VersionLine());
  app.require_subcommand(1);
  app.footer(kFooter);
  Outcome outcome;
  SetThreads(loader::FindProcessors().usable());
  // In order of use.
  AddPackCommand(app, outcome);
  AddRunCommand(app, outcome);
  AddEvalCommand(app, outcome);
  AddAnalyzeCommand(app, outcome);
  AddInspectCommand(app, outcome);
  AddVerifyCommand(app, outcome);
  AddBenchCommand(app, outcome);
  AddCalibrateCommand(app, outcome);
  AddTuneCommand(app, outcome);
  AddTuneExitsCommand(app, outcome);
  AddExportCommand(app, outcome);
  AddKeygenCommand(app, outcome);
  AddSignCommand(app, outcome);
  AddImatrixCommand(app, outcome);
  for (CLI::App* command : app.get_subcommands(nullptr))
    command->add_option("--config", "options of this command from a TOML file")
        ->type_name("FILE")
        ->group(command->get_name() == "pack" ? "Output and limits" : "Options");
  std::vector<std::string> words(argv + 1, argv + argc);
  if (const int printed = RunWords(app, words); printed >= 0) return printed;
  const std::vector<std::string> given = words;
  auto with_config = WithConfig(app, words);
  if (!with_config.ok()) return Fail(with_config.status());
  words = *std::move(with_config);
  if (IsCalibrate(words)) return RunCalibrateBeside(words);
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    return OnParseError(app, error, words, ConfigAtFault(given, error.what()));
  }
  return outcome.exit_code;
}

}  // namespace
}  // namespace ingot::cli

int main(int argc, char** argv) {
  // A standard input that is closed stays one that cannot be read, whatever is opened later.
  if (::fcntl(STDIN_FILENO, F_GETFD) < 0) ::open("/dev/null", O_WRONLY);
  const ingot::files::SignalGuard guard(ingot::cli::EndBySignal);
  int exit_code = ingot::cli::kOk;
  ingot::cli::RunMain(ingot::cli::Main, argc, argv, exit_code);
  return exit_code;
}
