#include "pack/rewrite.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "artifact/writer.h"
#include "codecs/plane_codec.h"
#include "pack/coding_hint.h"

namespace ingot::pack {
namespace {

using artifact::Json;

Result<artifact::TensorPlan> PlanOf(const artifact::TensorRecord& record) {
  artifact::TensorPlan plan;
  plan.record = record;
  INGOT_ASSIGN(const MatrixShape shape, ShapeOf(record));
  for (const artifact::PlaneRecord& plane : record.planes) {
    INGOT_ASSIGN(const codecs::PlaneSpec spec, SpecOf(plane));
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(spec.kind));
    INGOT_ASSIGN(const std::vector<codecs::StreamSpec> streams, kind->streams(spec, shape.cols));
    if (streams.size() != plane.streams.size())
      return Corruption(fmt::format("plane {} has {} streams, {} expected", plane.kind,
                                    plane.streams.size(), streams.size()));
    std::vector<artifact::CodingHint>& hints = plan.hints.emplace_back();
    for (const codecs::StreamSpec& stream : streams) hints.push_back(HintOf(stream.hint));
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
                          HexOf(artifact::DigestOf(replaced.bytes)));
  return HexOf(artifact::DigestOf(AsBytes(text)));
}

Status CopyTensor(const artifact::ArtifactReader& reader, std::size_t index,
                  const Replacements& replacements, artifact::ArtifactWriter& writer) {
  const artifact::TensorRecord& record = reader.manifest().tensors[index];
  std::vector<artifact::StreamBytes> backing;
  std::vector<std::vector<ByteSpan>> streams;
  std::vector<artifact::StreamCuts> cuts;
  for (std::size_t p = 0; p < record.planes.size(); ++p) {
    streams.emplace_back();
    for (std::size_t s = 0; s < record.planes[p].streams.size(); ++s) {
      const artifact::StreamRecord& stream = record.planes[p].streams[s];
      INGOT_ASSIGN(artifact::StreamBytes bytes, reader.ReadStream(stream).At(fmt::format(
                                                    "plane {}, stream '{}'", p, stream.name)));
      streams[p].push_back(bytes.bytes());
      backing.push_back(std::move(bytes));
      cuts.push_back({p, s, CutsOf(reader, stream)});
    }
  }
  if (const auto it = replacements.find(record.name); it != replacements.end())
    for (const Replacement& replaced : it->second)
      streams[replaced.plane][replaced.stream] = replaced.bytes;
  return writer.AddSlab(index, 0, streams, Json::object(), cuts);
}

}  // namespace

Result<codecs::PlaneSpec> SpecOf(const artifact::PlaneRecord& plane) {
  codecs::PlaneSpec spec{plane.kind, {}, plane.level};
  for (const auto& [key, value] : plane.attributes.items()) {
    if (value.is_number_integer())
      spec.attributes[key] = value.get<std::int64_t>();
    else if (value.is_number_float())
      spec.attributes[key] = value.get<double>();
    else if (value.is_string())
      spec.attributes[key] = value.get<std::string>();
    else
      return Corruption(
          fmt::format("plane {}: attribute '{}' is neither a number nor text", plane.kind, key));
  }
  return spec;
}

Result<MatrixShape> ShapeOf(const artifact::TensorRecord& record) {
  MatrixShape shape;
  if (record.shape.size() > 1) shape.rows = record.shape[0];
  for (std::size_t i = record.shape.size() > 1 ? 1 : 0; i < record.shape.size(); ++i) {
    const auto product = CheckedMul(shape.cols, record.shape[i]);
    if (!product) return Corruption("more than 2^64 weights");
    shape.cols = *product;
  }
  const auto weights = CheckedMul(shape.rows, shape.cols);
  if (!weights || *weights == 0 || *weights > std::uint64_t{1} << 62)
    return Corruption(fmt::format("shape {} x {} is empty or too large", shape.rows, shape.cols));
  return shape;
}

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
