// `ingot export`.
#include <fmt/format.h>

#include <memory>

#include "inspect/text_format.h"
#include "jobs/export_job.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

struct ExportCommand {
  std::string file, output, dtype, shard = "5GB";
  std::uint64_t max_decoded = 0;
  KeyOption key;
  bool quiet = false;
};

Status RunExport(const ExportCommand& command) {
  if (command.output == "-")
    return InvalidArgument("-o -: export makes a directory, which is no stream: give its name");
  INGOT_ASSIGN(const auto key, LoadVerifyingKey(command.key));
  jobs::ExportJobOptions job{command.file, command.output};
  job.key = PointerTo(key);
  job.max_decoded_bytes = command.max_decoded;
  if (!command.dtype.empty()) {
    auto dtype = ParseDType(command.dtype);
    if (!dtype.ok()) return InvalidArgument("--dtype " + command.dtype + ": f32, f16 or bf16");
    job.dtype = *dtype;
  }
  INGOT_ASSIGN(job.shard_bytes, ParseSize(command.shard).At("--shard"));
  JobLine line({.progress = command.quiet});
  INGOT_ASSIGN(const pack::ExportReport report, jobs::RunExportJob(job, line.monitor()));
  line.Clear();
  if (!command.quiet)
    PrintPage("{}: {} of weights ({}) in {} file{}\n", untrusted::Printable(command.output),
              inspect::HumanBytes(report.bytes),
              report.dtype == "source" ? "bit-exact, in the source's format" : report.dtype,
              report.files, report.files == 1 ? "" : "s");
  return OkStatus();
}

}  // namespace

void AddExportCommand(CLI::App& app, Outcome& outcome) {
  auto o = std::make_shared<ExportCommand>();
  CLI::App* c =
      app.add_subcommand("export", "write the dequantized weights as a Hugging Face directory");
  c->add_option("FILE", o->file, "artifact")->required();
  c->add_option("-o,--output", o->output, "directory to make")->type_name("DIR")->required();
  c->add_option(
       "--dtype", o->dtype,
       "f32, f16 or bf16 for every tensor; by default the source's format where the artifact "
       "is exact, else f32, so that nothing is rounded twice")
      ->type_name("NAME");
  c->add_option("--shard", o->shard, "largest weight file")
      ->type_name("SIZE")
      ->capture_default_str();
  AddMaxDecodedOption(c, o->max_decoded);
  AddVerifyingKeyOptions(c, o->key);
  c->add_flag("-q,--quiet", o->quiet, "print nothing");
  AddThreadsOption(c);
  OnRun(c, outcome, [o] { return RunExport(*o); });
}

}  // namespace ingot::cli
