// `ingot imatrix`: statistics to and from llama.cpp's importance matrix.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "calibration/imatrix.h"
#include "files/output.h"
#include "pack/source_files.h"
#include "tools/cli/common.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

struct ImatrixCommand {
  std::string input, model, output;
  bool force = false;
};

Result<model::Architecture> ArchitectureOf(const model::Checkpoint& checkpoint) {
  return model::BuildArchitecture(
      checkpoint.config(), [&](std::string_view name) { return checkpoint.Find(name) != nullptr; });
}

// What was written; it does not mix with a result that goes to standard output.
void PrintDone(const ImatrixCommand& command, const files::Output& output,
               const std::string& what) {
  fmt::print(output.is_stream() ? stderr : stdout, "{}: {}\n", untrusted::Printable(command.output),
             what);
}

Status Export(const ImatrixCommand& command) {
  INGOT_ASSIGN(files::Output output, files::Output::Open(command.output, {.force = command.force}));
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(command.model));
  INGOT_TRY(pack::CheckNotSource(*checkpoint, output.path()));
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(*checkpoint));
  INGOT_ASSIGN(const auto statistics, calibration::Statistics::Open(command.input));
  INGOT_ASSIGN(const std::size_t tensors,
               calibration::ExportImatrix(*statistics, *checkpoint, architecture, output.path()));
  INGOT_TRY(output.Finish());
  PrintDone(command, output, fmt::format("{} tensors", tensors));
  return OkStatus();
}

Status Import(const ImatrixCommand& command) {
  INGOT_ASSIGN(files::Output output, files::Output::Open(command.output, {.force = command.force}));
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(command.model));
  INGOT_TRY(pack::CheckNotSource(*checkpoint, output.path()));
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(*checkpoint));
  INGOT_ASSIGN(const std::size_t matrices,
               calibration::ImportImatrix(command.input, *checkpoint, architecture, output.path()));
  INGOT_TRY(output.Finish());
  PrintDone(command, output, fmt::format("diagonals of {} matrices", matrices));
  return OkStatus();
}

void AddOptions(CLI::App* app, ImatrixCommand& c, const char* input) {
  app->add_option("input", c.input, input)->required();
  app->add_option("model", c.model, "the model: a Hugging Face directory or a GGUF file")
      ->required();
  app->add_option("-o,--output", c.output, "the file to write, or - for standard output")
      ->required();
  app->add_flag("--force", c.force, "replace an existing file");
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
