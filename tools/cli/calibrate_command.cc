// `ingot calibrate`: runs `ingot-calibrate` beside this program, as git runs its subcommands, so
// that `ingot` itself never links LibTorch.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tools/cli/common.h"

namespace ingot::cli {

bool IsCalibrate(int argc, char** argv) {
  return argc > 1 && std::string_view(argv[1]) == "calibrate";
}

int RunCalibrateBeside(int argc, char** argv) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string program = (self.parent_path() / "ingot-calibrate").string();
  if (error || ::access(program.c_str(), X_OK) != 0)
    return Fail(
        NotFound(fmt::format("{} is not built: it needs LibTorch (tools/setup --torch, then "
                             "configure and build again)",
                             error ? "ingot-calibrate" : program)));
  std::vector<char*> arguments(argv + 1, argv + argc);
  std::string name = program;
  arguments[0] = name.data();
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  return Fail(IoError(fmt::format("cannot run {}: {}", program, std::strerror(errno))));
}

void AddCalibrateCommand(CLI::App& app, Outcome& /*outcome*/) {
  // For the list of commands; main hands the words on before they are parsed.
  app.add_subcommand("calibrate", "Take the statistics that packing spends bits by (LibTorch)");
}

}  // namespace ingot::cli
