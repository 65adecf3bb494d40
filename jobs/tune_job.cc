#include "jobs/tune_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "artifact/reader.h"
#include "base/digest.h"
#include "files/output.h"
#include "jobs/calibration_setup.h"
#include "pack/packed_artifact.h"
#include "stored/plane_record.h"
#include "stored/tensor_planes.h"

namespace ingot::jobs {
namespace {

using artifact::Json;

std::string Shape(std::span<const std::uint64_t> shape) {
  return fmt::format("{}", fmt::join(shape, " x "));
}

// Whether a tensor is a vector that is stored as the source has it.
bool KeepsValues(const artifact::ArtifactReader& reader, const artifact::TensorRecord& record,
                 const model::TensorInfo& tensor) {
  return record.role == "vector" && !reader.manifest().provenance.contains("tuned") &&
         record.planes.size() == 1 && record.planes[0].kind == "raw" &&
         record.dtype == DTypeName(tensor.dtype);
}

// Its shape, and the values of a vector, unless vectors were tuned.
Status CheckTensorFrom(const artifact::ArtifactReader& reader, const artifact::TensorRecord& record,
                       const model::Checkpoint& checkpoint) {
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
  if (!KeepsValues(reader, record, *tensor)) return OkStatus();
  ByteBuffer values(tensor->elements() * DTypeBytes(tensor->dtype));
  INGOT_TRY(checkpoint.ReadRows(*tensor, 0, tensor->rows(), values.span()).At(record.name));
  INGOT_ASSIGN(const stored::TensorPlanes planes,
               stored::ReadTensor(reader, record).At(record.name));
  if (!std::ranges::equal(planes.planes[0].streams[0], values.span()))
    return refuse("has other values");
  return OkStatus();
}

Status CheckMadeFrom(const artifact::ArtifactReader& reader, const model::Checkpoint& checkpoint) {
  for (const artifact::TensorRecord& record : reader.manifest().tensors)
    INGOT_TRY(CheckTensorFrom(reader, record, checkpoint));
  return OkStatus();
}

Json Provenance(const TuneJobOptions& job, const calibration::TokenWindows& text,
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
  return {{"tool", job.tool},
          {"text", fmt::format("{}", fmt::join(text.sources, "; "))},
          {"text_digest", "blake3:" + HexOf(DigestOf(AsBytes(ids)))},
          {"windows", result.windows},
          {"held_out", result.held_out},
          {"context", text.context},
          {"epochs", job.epochs},
          {"rate", job.rate},
          {"seed", job.seed},
          {"blocks_kept", kept},
          {"blocks", std::move(blocks)}};
}

Result<pack::RewriteReport> Write(
    const TuneJobOptions& job, const artifact::ArtifactReader& reader, const Json& provenance,
    const std::map<std::string, std::vector<calibration::NewStream>>& tuned) {
  pack::Replacements replacements;
  for (const auto& [name, streams] : tuned)
    for (const calibration::NewStream& stream : streams)
      replacements[name].push_back({stream.plane, stream.stream, stream.bytes});
  pack::RewriteOptions options;
  options.target = job.output;
  options.force = job.force;
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
  options.key = job.sign;
  return pack::Rewrite(reader, replacements, options);
}

calibration::TuneOptions OptionsOf(const TuneJobOptions& job, const Monitor& monitor) {
  calibration::TuneOptions options;
  options.work = job.output + ".work";
  options.epochs = job.epochs;
  options.rate = job.rate;
  options.seed = job.seed;
  options.memory_bytes = MemoryBound(job.memory_bytes);
  options.on_progress = [&monitor](std::size_t layers, std::size_t total) {
    return monitor.Tell({"tuning", layers, total, "layers tuned"});
  };
  return options;
}

}  // namespace

Result<TuneJobResult> RunTuneJob(const TuneJobOptions& job, const Tuner& tuner,
                                 const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  INGOT_TRY(files::CheckMayWrite(job.output, job.force));
  INGOT_ASSIGN(const auto reader, artifact::ArtifactReader::Open(job.artifact, {}));
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(job.reference));
  INGOT_TRY(CheckMadeFrom(*reader, *checkpoint).At(job.artifact));
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(*checkpoint));
  INGOT_ASSIGN(const calibration::TokenWindows text,
               CutTexts(job.texts, *checkpoint, job.tokens, job.context));
  const pack::PackedArtifact packed(*reader);
  TuneJobResult result;
  INGOT_ASSIGN(
      result.tuned,
      tuner(*checkpoint, architecture, packed, text, OptionsOf(job, monitor)).At(job.artifact));
  INGOT_TRY(monitor.Check());
  INGOT_ASSIGN(result.report,
               Write(job, *reader, Provenance(job, text, result.tuned), result.tuned.streams));
  return result;
}

}  // namespace ingot::jobs
