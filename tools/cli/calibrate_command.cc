// `ingot calibrate`: runs `ingot-calibrate` beside this program, as git runs its subcommands, so
// that `ingot` itself never links LibTorch.
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

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

}  // namespace

bool IsCalibrate(int argc, char** argv) {
  return argc > 1 && std::string_view(argv[1]) == "calibrate";
}

int RunCalibrateBeside(int argc, char** argv) {
  const auto found = CalibrateProgram();
  if (!found.ok()) return Fail(found.status());
  const std::string& program = *found;
  std::vector<char*> arguments(argv + 1, argv + argc);
  std::string name = program;
  arguments[0] = name.data();
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  return Fail(IoError(fmt::format("cannot run {}: {}", program, std::strerror(errno))));
}

Status CalibrateFor(const std::string& model, const std::vector<std::string>& texts,
                    const std::string& output, bool quiet) {
  INGOT_ASSIGN(std::string program, CalibrateProgram());
  std::vector<std::string> words = {program, model, "-o", output, "--text"};
  words.insert(words.end(), texts.begin(), texts.end());
  if (quiet) words.emplace_back("-q");
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
  return Unsupported(fmt::format("ingot-calibrate ended with {}; nothing was packed",
                                 WIFEXITED(status)
                                     ? fmt::format("exit code {}", WEXITSTATUS(status))
                                     : fmt::format("signal {}", WTERMSIG(status))));
}

void AddCalibrateCommand(CLI::App& app, Outcome& /*outcome*/) {
  // For the list of commands; main hands the words on before they are parsed.
  app.add_subcommand("calibrate", "Take the statistics that packing spends bits by (LibTorch)");
}

}  // namespace ingot::cli
