#include "pack/rewrite.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "artifact/writer.h"
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

// Digest of what decides the bytes: the source's root and the new streams.
std::string FingerprintOf(const artifact::ArtifactReader& reader,
                          const Replacements& replacements) {
  std::string text = "rewrite " + HexOf(reader.root());
  for (const auto& [name, streams] : replacements)
    for (const Replacement& replaced : streams)
      text += fmt::format("\n{} {} {} {}", name, replaced.plane, replaced.stream,
                          HexOf(DigestOf(replaced.bytes)));
  return HexOf(DigestOf(AsBytes(text)));
}

Status CopyTensor(const artifact::ArtifactReader& reader, std::size_t index,
                  const Replacements& replacements, artifact::ArtifactWriter& writer) {
  const artifact::TensorRecord& record = reader.manifest().tensors[index];
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
  plan.fingerprint = FingerprintOf(reader, replacements);
  for (const artifact::TensorRecord& record : manifest.tensors) {
    INGOT_ASSIGN(artifact::TensorPlan tensor, PlanOf(record).At(record.name));
    plan.tensors.push_back(std::move(tensor));
  }
  for (const artifact::AssetRecord& asset : manifest.assets) {
    INGOT_ASSIGN(std::string content, reader.ReadAsset(asset.name).At(asset.name));
    plan.assets.emplace_back(asset.name, std::move(content));
  }
  INGOT_ASSIGN(const auto writer,
               artifact::ArtifactWriter::Open(options.target, std::move(plan), options.force));
  for (std::size_t t = 0; t < manifest.tensors.size(); ++t) {
    if (writer->HasSlab(t, 0)) continue;
    if (Status status = CopyTensor(reader, t, replacements, *writer); !status.ok()) {
      writer->Discard();
      return std::move(status).At(manifest.tensors[t].name);
    }
  }
  auto finished = writer->Finish(options.key, options.patch);
  if (!finished.ok()) {
    writer->Discard();
    return std::move(finished).status();
  }
  return RewriteReport{finished->root_hex, finished->file_bytes};
}

}  // namespace ingot::pack
