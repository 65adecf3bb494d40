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
#include "tools/cli/common.h"

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
  pid_t child = 0;
  if (const int error =
          ::posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments.data(), environ);
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

bool IsCalibrate(int argc, char** argv) {
  if (argc < 2) return false;
  const std::string_view command = argv[1];
  return command == "calibrate" || command == "tune";
}

int RunCalibrateBeside(int argc, char** argv) {
  const auto found = CalibrateProgram();
  if (!found.ok()) return Fail(found.status());
  const std::string& program = *found;
  // "calibrate" is what the program does without a word; "tune" it is told.
  const bool tunes = std::string_view(argv[1]) == "tune";
  std::vector<char*> arguments(argv + (tunes ? 0 : 1), argv + argc);
  std::string name = program;
  arguments[0] = name.data();
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  return Fail(IoError(fmt::format("cannot run {}: {}", program, std::strerror(errno))));
}

Status CheckCanTune() { return CalibrateProgram().status(); }

Status CalibrateFor(const std::string& model, const std::vector<std::string>& texts,
                    const std::string& output, bool quiet) {
  std::vector<std::string> words = {model, "-o", output, "--text"};
  words.insert(words.end(), texts.begin(), texts.end());
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

void AddTuneCommand(CLI::App& app, Outcome& /*outcome*/) {
  // For the list of commands; main hands the words on before they are parsed.
  app.add_subcommand("tune", "Fit an artifact's scales, zeros and norms by gradient (LibTorch)");
}

void AddCalibrateCommand(CLI::App& app, Outcome& /*outcome*/) {
  // For the list of commands; main hands the words on before they are parsed.
  app.add_subcommand("calibrate", "Take the statistics that packing spends bits by (LibTorch)");
}

}  // namespace ingot::cli
