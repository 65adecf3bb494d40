// `ingot calibrate` and `ingot tune`: run `ingot-calibrate` beside this program, as git runs its
// subcommands, so that `ingot` itself never links LibTorch.
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "tools/cli/calibrate_run.h"
#include "tools/cli/common.h"
#include "tools/cli/parent.h"
#include "tools/cli/tune_run.h"

namespace ingot::cli {
namespace {

// Where it would be, and whether it is there.
Result<std::string> CalibrateProgram() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string program = (self.parent_path() / "ingot-calibrate").string();
  if (!error && ::access(program.c_str(), X_OK) == 0) return program;
  return NotFound(
      fmt::format("{} is not built: it needs LibTorch (tools/setup --torch, then "
                  "configure and build again)",
                  error ? "ingot-calibrate" : program));
}

// Runs the program and waits. `lost`: what its failure means for the caller.
Status RunProgram(std::vector<std::string> words, const std::string& lost) {
  INGOT_ASSIGN(std::string program, CalibrateProgram());
  words.insert(words.begin(), program);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::string parent = fmt::format("{}={}", kParentVariable, ::getpid());
  std::vector<char*> environment = {parent.data()};
  for (char** variable = environ; *variable != nullptr; ++variable)
    environment.push_back(*variable);
  environment.push_back(nullptr);
  pid_t child = 0;
  if (const int error = ::posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments.data(),
                                      environment.data());
      error != 0)
    return IoError(fmt::format("cannot run {}: {}", program, std::strerror(error)));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return OkStatus();
  return Unsupported(fmt::format("ingot-calibrate ended with {}; {}",
                                 WIFEXITED(status)
                                     ? fmt::format("exit code {}", WEXITSTATUS(status))
                                     : fmt::format("signal {}", WTERMSIG(status)),
                                 lost));
}

}  // namespace

bool IsCalibrate(const std::vector<std::string>& words) {
  return !words.empty() && (words[0] == "calibrate" || words[0] == "tune");
}

int RunCalibrateBeside(const std::vector<std::string>& words) {
  const auto found = CalibrateProgram();
  std::vector<std::string> copies = words;
  std::vector<char*> arguments;
  for (std::string& word : copies) arguments.push_back(word.data());
  if (!found.ok() && words[0] == "calibrate")
    return CalibrateMain(static_cast<int>(arguments.size()), arguments.data(),
                         jobs::ForwardCalibrator(), "ingot " INGOT_VERSION);
  if (!found.ok())
    return TuneMain(static_cast<int>(arguments.size()), arguments.data(), {},
                    "ingot " INGOT_VERSION, found.status());
  std::string program = *found;
  // "calibrate" is what the program does without a word; "tune" it is told.
  if (words[0] == "tune")
    arguments.insert(arguments.begin(), program.data());
  else
    arguments[0] = program.data();
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  return Fail(IoError(fmt::format("cannot run {}: {}", program, std::strerror(errno))));
}

Status CheckCanTune() { return CalibrateProgram().status(); }

bool HasGradients() { return CalibrateProgram().ok(); }

Status CalibrateFor(const std::string& model, const std::vector<std::string>& texts,
                    const std::string& output, std::uint64_t tokens, bool force, bool quiet) {
  std::vector<std::string> words = {model, "-o", output};
  if (tokens > 0) words.insert(words.end(), {"--tokens", std::to_string(tokens)});
  words.emplace_back("--text");
  words.insert(words.end(), texts.begin(), texts.end());
  if (force) words.emplace_back("--force");
  if (quiet) words.emplace_back("-q");
  return RunProgram(std::move(words), "nothing was packed");
}

Status TuneFor(const TuneRequest& request) {
  std::vector<std::string> words = {
      "tune", request.artifact, "--reference", request.model,
      "-o",   request.output,   "--threads",   std::to_string(Threads())};
  if (request.sign.file) words.insert(words.end(), {"--sign", *request.sign.file});
  if (request.sign.secret) words.insert(words.end(), {"--hmac-key", *request.sign.secret});
  if (request.force) words.emplace_back("--force");
  if (request.quiet) words.emplace_back("-q");
  words.emplace_back("--text");
  words.insert(words.end(), request.texts.begin(), request.texts.end());
  return RunProgram(std::move(words), "the artifact was not made");
}

// Both are listed, with their options for completions, pages and --config; main hands the words on
// before they are parsed.
void AddTuneCommand(CLI::App& app, Outcome& /*outcome*/) {
  AddTuneOptions(app.add_subcommand(
      "tune", "fit an artifact's scales, zeros and norms by gradient (needs LibTorch)"));
}

void AddCalibrateCommand(CLI::App& app, Outcome& /*outcome*/) {
  AddCalibrateOptions(
      app.add_subcommand("calibrate", "take the statistics that packing spends bits by"),
      HasGradients());
}

}  // namespace ingot::cli
