#include "artifact/weights_digest.h"

#include <set>
#include <span>
#include <string_view>

#include "artifact/manifest.h"
#include "base/digest.h"

namespace ingot::artifact {
namespace {

// Text with its length, so that no two lists of texts are the same bytes.
void AddText(Hasher& hasher, std::string_view text) {
  hasher.Update(AsBytes(std::to_string(text.size()) + ":"));
  hasher.Update(AsBytes(text));
}

void AddPlane(Hasher& hasher, const PlaneRecord& plane, std::span<const ChunkEntry> chunks) {
  AddText(hasher, plane.kind);
  AddText(hasher, plane.attributes.dump());
  for (const StreamRecord& stream : plane.streams) {
    AddText(hasher, stream.name);
    for (const ChunkEntry& chunk : chunks.subspan(stream.first_chunk, stream.chunk_count))
      hasher.Update(chunk.digest);
  }
}

}  // namespace

std::string WeightsDigest(const ArtifactReader& reader) {
  const Manifest& manifest = reader.manifest();
  std::set<std::string_view> of_exits;
  for (const ExitRecord& exit : manifest.exits) of_exits.insert(exit.norm);
  Hasher hasher;
  for (const TensorRecord& tensor : manifest.tensors) {
    if (tensor.role == kRouterRole || of_exits.contains(tensor.name)) continue;
    AddText(hasher, tensor.name);
    AddText(hasher, Json(tensor.shape).dump());
    for (const PlaneRecord& plane : tensor.planes) AddPlane(hasher, plane, reader.chunks());
  }
  return "blake3:" + HexOf(hasher.Finish());
}

Status CheckLearnedFrom(const ArtifactReader& reader, const Json& said, std::string_view what) {
  const auto digest = said.find(kWeightsDigest);
  if (digest == said.end() || *digest == WeightsDigest(reader)) return OkStatus();
  return InvalidArgument("its " + std::string(what) +
                         " were learned from other weights than it has (their digests differ): "
                         "calibrate it again");
}

}  // namespace ingot::artifact
