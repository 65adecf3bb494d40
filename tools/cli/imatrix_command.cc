// `ingot imatrix`: statistics to and from llama.cpp's importance matrix.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "calibration/imatrix.h"
#include "tools/cli/common.h"

namespace ingot::cli {
namespace {

struct ImatrixCommand {
  std::string input, model, output;
};

Result<model::Architecture> ArchitectureOf(const model::Checkpoint& checkpoint) {
  return model::BuildArchitecture(
      checkpoint.config(), [&](std::string_view name) { return checkpoint.Find(name) != nullptr; });
}

Status Export(const ImatrixCommand& command) {
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(command.model));
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(*checkpoint));
  INGOT_ASSIGN(const auto statistics, calibration::Statistics::Open(command.input));
  INGOT_ASSIGN(const std::size_t tensors,
               calibration::ExportImatrix(*statistics, *checkpoint, architecture, command.output));
  fmt::print("{}: {} tensors\n", command.output, tensors);
  return OkStatus();
}

Status Import(const ImatrixCommand& command) {
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(command.model));
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(*checkpoint));
  INGOT_ASSIGN(
      const std::size_t matrices,
      calibration::ImportImatrix(command.input, *checkpoint, architecture, command.output));
  fmt::print("{}: diagonals of {} matrices\n", command.output, matrices);
  return OkStatus();
}

void AddOptions(CLI::App* app, ImatrixCommand& c, const char* input) {
  app->add_option("input", c.input, input)->required();
  app->add_option("model", c.model, "the model: a Hugging Face directory or a GGUF file")
      ->required();
  app->add_option("-o,--output", c.output, "the file to write")->required();
}

}  // namespace

void AddImatrixCommand(CLI::App& app, Outcome& outcome) {
  CLI::App* command = app.add_subcommand("imatrix", "Statistics to and from llama.cpp's imatrix");
  command->require_subcommand(1);
  const auto options = std::make_shared<ImatrixCommand>();
  CLI::App* out = command->add_subcommand("export", "Statistics to an imatrix GGUF");
  AddOptions(out, *options, "a statistics file");
  OnRun(out, outcome, [options] { return Export(*options); });
  CLI::App* in =
      command->add_subcommand("import", "An imatrix, GGUF or .dat, to diagonal statistics");
  AddOptions(in, *options, "an imatrix: GGUF, or the .dat of older versions");
  OnRun(in, outcome, [options] { return Import(*options); });
}

}  // namespace ingot::cli
