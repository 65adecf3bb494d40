#include "tools/calibrate/tune_artifact.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "artifact/reader.h"
#include "base/parallel.h"
#include "calibration/torch/tune.h"
#include "inspect/text_format.h"
#include "model/tokenizer/tokenizer.h"
#include "pack/packed_artifact.h"
#include "pack/rewrite.h"
#include "stored/plane_record.h"
#include "stored/tensor_planes.h"
#include "tools/cli/common.h"

namespace ingot::cli {
namespace {

using artifact::Json;

struct TuneCommand {
  std::string file, reference, output, memory;
  KeyOption sign;
  std::vector<std::string> texts;
  std::uint64_t tokens = 16384, seed = 0;
  std::size_t context = 256, epochs = 4;
  double rate = 2e-3;
  bool force = false, quiet = false;
};

std::string Shape(std::span<const std::uint64_t> shape) {
  return fmt::format("{}", fmt::join(shape, " x "));
}

// Shapes of all tensors, and the values of vectors, which are stored as the source has them unless
// they were tuned.
Status CheckMadeFrom(const artifact::ArtifactReader& reader, const model::Checkpoint& checkpoint) {
  const artifact::Manifest& manifest = reader.manifest();
  for (const artifact::TensorRecord& record : manifest.tensors) {
    const model::TensorInfo* tensor = checkpoint.Find(record.name);
    const auto refuse = [&](const std::string& what) {
      return InvalidArgument(fmt::format("the artifact was not made from {}: tensor '{}' {}",
                                         checkpoint.path(), record.name, what));
    };
    if (tensor == nullptr) return refuse("is not there");
    std::vector<std::uint64_t> shape = tensor->shape;
    if (stored::IsTransposed(record)) std::reverse(shape.begin(), shape.end());
    if (shape != record.shape)
      return refuse(fmt::format("is {} there, {} here", Shape(shape), Shape(record.shape)));
    const bool compares = record.role == "vector" && !manifest.provenance.contains("tuned") &&
                          record.planes.size() == 1 && record.planes[0].kind == "raw" &&
                          record.dtype == DTypeName(tensor->dtype);
    if (!compares) continue;
    ByteBuffer values(tensor->elements() * DTypeBytes(tensor->dtype));
    INGOT_TRY(checkpoint.ReadRows(*tensor, 0, tensor->rows(), values.span()).At(record.name));
    INGOT_ASSIGN(const stored::TensorPlanes planes,
                 stored::ReadTensor(reader, record).At(record.name));
    if (!std::ranges::equal(planes.planes[0].streams[0], values.span()))
      return refuse("has other values");
  }
  return OkStatus();
}

Result<calibration::TokenWindows> TextOf(const TuneCommand& command,
                                         const model::Checkpoint& checkpoint) {
  std::vector<calibration::TextSpec> specs;
  for (const std::string& text : command.texts) {
    INGOT_ASSIGN(calibration::TextSpec spec, calibration::ParseTextSpec(text));
    specs.push_back(std::move(spec));
  }
  INGOT_ASSIGN(const auto tokenizer, model::Tokenizer::FromAssets(checkpoint.assets()));
  return calibration::CutWindows(specs, *tokenizer, command.tokens, command.context);
}

Json Provenance(const TuneCommand& command, const calibration::TokenWindows& text,
                const calibration::TuneResult& result) {
  std::string ids;
  for (const auto& window : text.windows)
    ids.append(reinterpret_cast<const char*>(window.data()), window.size() * sizeof window[0]);
  Json blocks = Json::array();
  std::size_t kept = 0;
  for (const calibration::TunedBlock& block : result.blocks) {
    kept += block.kept ? 1 : 0;
    blocks.push_back({{"layer", block.layer},
                      {"before", block.before},
                      {"after", block.kept ? block.after : block.before},
                      {"kept", block.kept}});
  }
  return {{"tool", "ingot-calibrate " INGOT_VERSION},
          {"text", fmt::format("{}", fmt::join(text.sources, "; "))},
          {"text_digest", "blake3:" + HexOf(DigestOf(AsBytes(ids)))},
          {"windows", result.windows},
          {"held_out", result.held_out},
          {"context", text.context},
          {"epochs", command.epochs},
          {"rate", command.rate},
          {"seed", command.seed},
          {"blocks_kept", kept},
          {"blocks", std::move(blocks)}};
}

Result<pack::RewriteReport> Write(
    const TuneCommand& command, const artifact::ArtifactReader& reader, const Json& provenance,
    const std::map<std::string, std::vector<calibration::NewStream>>& tuned) {
  pack::Replacements replacements;
  for (const auto& [name, streams] : tuned)
    for (const calibration::NewStream& stream : streams)
      replacements[name].push_back({stream.plane, stream.stream, stream.bytes});
  pack::RewriteOptions options;
  options.target = command.output;
  options.force = command.force;
  options.patch = [&](artifact::Manifest& manifest) {
    manifest.provenance["tuned"] = provenance;
    // What was measured and predicted at packing no longer describes it.
    manifest.provenance.erase("measured");
    for (artifact::TensorRecord& record : manifest.tensors) {
      if (!replacements.contains(record.name)) continue;
      record.extra.erase("relative_error");
      record.extra.erase("predicted_loss");
      record.extra["tuned"] = true;
    }
  };
  INGOT_ASSIGN(const auto key, LoadSigningKey(command.sign));
  options.key = PointerTo(key);
  return pack::Rewrite(reader, replacements, options);
}

void PrintReport(const TuneCommand& command, const calibration::TuneResult& result,
                 const pack::RewriteReport& report) {
  double before = 0, after = 0;
  std::size_t kept = 0, parameters = 0;
  for (const calibration::TunedBlock& block : result.blocks) {
    before += block.before;
    after += block.kept ? block.after : block.before;
    kept += block.kept ? 1 : 0;
    parameters += block.parameters;
  }
  const double blocks = static_cast<double>(std::max<std::size_t>(result.blocks.size(), 1));
  fmt::print(
      "{}: {}; {} of {} layers tuned, {} values; error of a layer's output on held-out text "
      "{:.3g} -> {:.3g}\nroot blake3:{}\n",
      command.output, inspect::HumanBytes(report.file_bytes), kept, result.blocks.size(),
      parameters, before / blocks, after / blocks, report.root_hex);
}

Status RunTune(const TuneCommand& command) {
  calibration::TuneOptions options;
  const auto pages = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  options.memory_bytes = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 2;
  if (!command.memory.empty()) {
    INGOT_ASSIGN(options.memory_bytes, ParseSize(command.memory).At("--memory"));
  }
  if (!command.force && ::access(command.output.c_str(), F_OK) == 0)
    return InvalidArgument(fmt::format("{}: exists; --force replaces it", command.output));
  INGOT_ASSIGN(const auto reader, artifact::ArtifactReader::Open(command.file, {}));
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(command.reference));
  INGOT_TRY(CheckMadeFrom(*reader, *checkpoint).At(command.file));
  INGOT_ASSIGN(const model::Architecture architecture,
               model::BuildArchitecture(checkpoint->config(), [&](std::string_view name) {
                 return checkpoint->Find(name) != nullptr;
               }));
  INGOT_ASSIGN(const calibration::TokenWindows text, TextOf(command, *checkpoint));
  options.work = command.output + ".work";
  options.epochs = command.epochs;
  options.rate = command.rate;
  options.seed = command.seed;
  ProgressLine progress(command.quiet);
  options.on_progress = [&](std::size_t done, std::size_t total, const std::string& what) {
    progress.Count(done, total, what);
  };
  const pack::PackedArtifact packed(*reader);
  INGOT_ASSIGN(
      calibration::TuneResult result,
      calibration::Tune(*checkpoint, architecture, packed, text, options).At(command.file));
  progress.Clear();
  const Json provenance = Provenance(command, text, result);
  INGOT_ASSIGN(const pack::RewriteReport report,
               Write(command, *reader, provenance, result.streams));
  if (!command.quiet) PrintReport(command, result, report);
  return OkStatus();
}

void AddOptions(CLI::App& app, TuneCommand& c) {
  app.add_option("FILE", c.file, "the artifact")->required();
  app.add_option("--reference", c.reference, "the model it was made from")->required();
  app.add_option("--text", c.texts, "FILE[:WEIGHT], plain text or .jsonl, several")->required();
  app.add_option("-o,--output", c.output, "the tuned artifact")->required();
  app.add_option("--tokens", c.tokens, "tokens of text, one window in four held out")
      ->capture_default_str();
  app.add_option("--context", c.context, "tokens a window")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--epochs", c.epochs, "times over the text")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--rate", c.rate, "first step, relative to a value")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", c.seed, "of the order of windows")->capture_default_str();
  app.add_option("--memory", c.memory, "most memory, like 3GiB (half of the machine's)");
  AddSigningKeyOptions(&app, "--sign", c.sign);
  app.add_flag("--force", c.force, "replace an existing output");
  app.add_flag("-q,--quiet", c.quiet, "no progress, no report");
  AddThreadsOption(&app);
}

}  // namespace

int TuneMain(int argc, char** argv) {
  CLI::App app(
      "Moves the scales, zeros and norms of an artifact so that each layer puts out what the "
      "source's does; codes stay. Kept where held-out text says that it helps.",
      "ingot tune");
  TuneCommand command;
  AddOptions(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return Fail(InvalidArgument(std::string(error.what()) + " (see ingot tune --help)"));
  }
  if (const Status status = RunTune(command); !status.ok()) return Fail(status);
  return kOk;
}

}  // namespace ingot::cli
