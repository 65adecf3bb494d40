#include "pack/rewrite.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "artifact/writer.h"
#include "codecs/planes/raw_plane.h"
#include "stored/plane_record.h"
#include "stored/tensor_planes.h"

namespace ingot::pack {
namespace {

using artifact::Json;

Result<artifact::TensorPlan> PlanOf(const artifact::TensorRecord& record) {
  artifact::TensorPlan plan;
  plan.record = record;
  INGOT_ASSIGN(const stored::MatrixShape shape, stored::ShapeOf(record));
  for (std::size_t p = 0; p < record.planes.size(); ++p) {
    const artifact::PlaneRecord& plane = record.planes[p];
    const std::string place = stored::PlanePlace(p, plane.kind);
    INGOT_ASSIGN(const codecs::PlaneSpec spec, stored::SpecOf(plane).At(place));
    INGOT_TRY(stored::CheckStreams(plane, spec, shape).At(place));
    INGOT_ASSIGN(auto hints, stored::HintsOf(spec, shape.cols).At(place));
    plan.hints.push_back(std::move(hints));
  }
  return plan;
}

// The borders of a stream's chunks, so that it is cut as before.
std::vector<std::uint64_t> CutsOf(const artifact::ArtifactReader& reader,
                                  const artifact::StreamRecord& stream) {
  std::vector<std::uint64_t> cuts;
  std::uint64_t at = 0;
  for (std::uint32_t i = 0; i + 1 < stream.chunk_count; ++i) {
    at += reader.chunks()[stream.first_chunk + i].decoded_bytes;
    cuts.push_back(at);
  }
  return cuts;
}

Status CheckReplacements(const artifact::Manifest& manifest, const Replacements& replacements) {
  std::map<std::string_view, const artifact::TensorRecord*> records;
  for (const artifact::TensorRecord& record : manifest.tensors) records[record.name] = &record;
  for (const auto& [name, streams] : replacements) {
    const auto it = records.find(name);
    if (it == records.end()) return InvalidArgument(name + ": no such tensor to replace");
    for (const Replacement& replaced : streams) {
      const auto& planes = it->second->planes;
      const bool known =
          replaced.plane < planes.size() && replaced.stream < planes[replaced.plane].streams.size();
      if (!known || planes[replaced.plane].streams[replaced.stream].bytes != replaced.bytes.size())
        return InvalidArgument(fmt::format("{}: plane {} has no stream {} of {} bytes to replace",
                                           name, replaced.plane, replaced.stream,
                                           replaced.bytes.size()));
    }
  }
  return OkStatus();
}

Result<artifact::TensorPlan> PlanOf(const AddedTensor& added) {
  artifact::TensorPlan plan;
  plan.record.name = added.name;
  plan.record.shape = added.shape;
  plan.record.dtype = "f32";
  plan.record.codec = "raw";
  plan.record.role = added.role;
  plan.record.layer = added.layer;
  const std::uint64_t rows = added.shape.size() < 2 ? 1 : added.shape[0];
  const std::uint64_t cols = added.values.size() / std::max<std::uint64_t>(rows, 1);
  INGOT_TRY(stored::AddPlane(codecs::RawSpec(DType::kF32), cols, plan).At(added.name));
  return plan;
}

// Digest of what decides the bytes: the source's root, the new streams and tensors.
std::string FingerprintOf(const artifact::ArtifactReader& reader, const Replacements& replacements,
                          const RewriteOptions& options) {
  std::string text = "rewrite " + HexOf(reader.root());
  for (const auto& [name, streams] : replacements)
    for (const Replacement& replaced : streams)
      text += fmt::format("\n{} {} {} {}", name, replaced.plane, replaced.stream,
                          HexOf(DigestOf(replaced.bytes)));
  for (const std::string& name : options.left_out) text += "\nwithout " + name;
  for (const AddedTensor& added : options.added)
    text += fmt::format("\nwith {} {}", added.name,
                        HexOf(DigestOf(BytesOf(std::span<const float>(added.values)))));
  return HexOf(DigestOf(AsBytes(text)));
}

Status CopyTensor(const artifact::ArtifactReader& reader, const artifact::TensorRecord& record,
                  std::size_t index, const Replacements& replacements,
                  artifact::ArtifactWriter& writer) {
  INGOT_ASSIGN(stored::TensorPlanes tensor, stored::ReadTensor(reader, record));
  if (const auto it = replacements.find(record.name); it != replacements.end()) {
    for (const Replacement& replaced : it->second)
      tensor.planes[replaced.plane].streams[replaced.stream] = replaced.bytes;
    INGOT_TRY(stored::Validate(tensor));
  }
  std::vector<std::vector<ByteSpan>> streams;
  std::vector<artifact::StreamCuts> cuts;
  for (std::size_t p = 0; p < record.planes.size(); ++p) {
    streams.push_back(tensor.planes[p].streams);
    for (std::size_t s = 0; s < record.planes[p].streams.size(); ++s)
      cuts.push_back({p, s, CutsOf(reader, record.planes[p].streams[s])});
  }
  return writer.AddSlab(index, 0, streams, Json::object(), cuts);
}

}  // namespace

Result<RewriteReport> Rewrite(const artifact::ArtifactReader& reader,
                              const Replacements& replacements, const RewriteOptions& options) {
  const artifact::Manifest& manifest = reader.manifest();
  if (reader.complete_level() + 1 != reader.level_count())
    return Unsupported("the artifact is cut short: only a complete one can be rewritten");
  INGOT_TRY(CheckReplacements(manifest, replacements));
  artifact::ArtifactPlan plan;
  plan.manifest = manifest;  // the writer takes tensors and assets from below
  plan.fingerprint = FingerprintOf(reader, replacements, options);
  std::vector<const artifact::TensorRecord*> kept;
  for (const artifact::TensorRecord& record : manifest.tensors) {
    if (options.left_out.contains(record.name)) continue;
    INGOT_ASSIGN(artifact::TensorPlan tensor, PlanOf(record).At(record.name));
    plan.tensors.push_back(std::move(tensor));
    kept.push_back(&record);
  }
  for (const AddedTensor& added : options.added) {
    INGOT_ASSIGN(artifact::TensorPlan tensor, PlanOf(added));
    plan.tensors.push_back(std::move(tensor));
  }
  for (const artifact::AssetRecord& asset : manifest.assets) {
    INGOT_ASSIGN(std::string content, reader.ReadAsset(asset.name).At(asset.name));
    plan.assets.emplace_back(asset.name, std::move(content));
  }
  INGOT_ASSIGN(const auto writer,
               artifact::ArtifactWriter::Open(options.target, std::move(plan), options.force));
  const auto add = [&](std::size_t t) -> Status {
    if (writer->HasSlab(t, 0)) return OkStatus();
    if (t < kept.size())
      return CopyTensor(reader, *kept[t], t, replacements, *writer).At(kept[t]->name);
    const AddedTensor& added = options.added[t - kept.size()];
    const std::vector<std::vector<ByteSpan>> streams = {
        {BytesOf(std::span<const float>(added.values))}};
    return writer->AddSlab(t, 0, streams, Json::object()).At(added.name);
  };
  for (std::size_t t = 0; t < kept.size() + options.added.size(); ++t)
    if (Status status = add(t); !status.ok()) {
      writer->Discard();
      return status;
    }
  auto finished = writer->Finish(options.key, options.patch);
  if (!finished.ok()) {
    writer->Discard();
    return std::move(finished).status();
  }
  return RewriteReport{finished->root_hex, finished->file_bytes};
}

}  // namespace ingot::pack
