#include <algorithm>

#include "artifact/manifest.h"

namespace ingot::artifact {
namespace {

Json StreamJson(const StreamRecord& stream) {
  return {{"name", stream.name},
          {"bytes", stream.bytes},
          {"first_chunk", stream.first_chunk},
          {"chunk_count", stream.chunk_count}};
}

Json PlaneJson(const PlaneRecord& plane) {
  Json streams = Json::array();
  for (const StreamRecord& stream : plane.streams) streams.push_back(StreamJson(stream));
  return {{"kind", plane.kind},
          {"attributes", plane.attributes},
          {"level", plane.level},
          {"streams", std::move(streams)}};
}

Json TensorJson(const TensorRecord& tensor) {
  Json planes = Json::array();
  for (const PlaneRecord& plane : tensor.planes) planes.push_back(PlaneJson(plane));
  return {{"name", tensor.name},   {"shape", tensor.shape},      {"dtype", tensor.dtype},
          {"codec", tensor.codec}, {"role", tensor.role},        {"layer", tensor.layer},
          {"extra", tensor.extra}, {"planes", std::move(planes)}};
}

}  // namespace

std::uint16_t MinorVersion(const Manifest& manifest) {
  if (!manifest.draft_layers.empty()) return 2;
  const auto added = [](const TensorRecord& tensor) {
    return tensor.role == kRouterRole || tensor.role == kSharedRole;
  };
  const bool plain = manifest.base_root.empty() && manifest.exits.empty() &&
                     std::none_of(manifest.tensors.begin(), manifest.tensors.end(), added);
  return plain ? 0 : 1;
}

std::string SerializeManifest(const Manifest& manifest) {
  Json assets = Json::array();
  for (const AssetRecord& asset : manifest.assets) {
    Json json = StreamJson(asset.stream);
    json["name"] = asset.name;
    assets.push_back(std::move(json));
  }
  Json tensors = Json::array();
  for (const TensorRecord& tensor : manifest.tensors) tensors.push_back(TensorJson(tensor));
  Json json = {{"config", manifest.config},
               {"provenance", manifest.provenance},
               {"assets", std::move(assets)},
               {"tensors", std::move(tensors)}};
  if (!manifest.base_root.empty()) json["base"] = {{"root", manifest.base_root}};
  for (const ExitRecord& exit : manifest.exits)
    json["x_exits"].push_back(
        {{"layer", exit.layer}, {"norm", exit.norm}, {"up", exit.up}, {"down", exit.down}});
  if (!manifest.draft_layers.empty()) json["x_draft_layers"] = manifest.draft_layers;
  // `replace` keeps dump from throwing; the writer has checked every name by then.
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace ingot::artifact
