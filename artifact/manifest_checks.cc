#include "artifact/manifest_checks.h"

#include <fmt/format.h>

#include <limits>
#include <map>
#include <set>
#include <string>

#include "artifact/layout.h"
#include "untrusted/utf8_step.h"

namespace ingot::artifact {
namespace {

constexpr std::size_t kMaxAssetNameBytes = 255;
constexpr std::uint64_t kMaxElements = std::uint64_t{1} << 48;

bool IsControl(std::string_view sequence) {
  const auto a = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return a < 0x20 || a == 0x7f;
  // C1 controls, U+0080 to U+009F.
  return sequence.size() == 2 && a == 0xc2 && static_cast<unsigned char>(sequence[1]) < 0xa0;
}

Status CheckShape(const std::vector<std::uint64_t>& shape) {
  if (shape.size() > kMaxRank)
    return Corruption(fmt::format("{} dimensions, at most {}", shape.size(), kMaxRank));
  std::uint64_t elements = 1;
  for (const std::uint64_t n : shape) {
    if (n == 0) return Corruption("a dimension is 0");
    const auto product = CheckedMul(elements, n);
    if (!product || *product > kMaxElements)
      return Corruption(fmt::format("shape of more than {} elements", kMaxElements));
    elements = *product;
  }
  return OkStatus();
}

Status CheckPlane(const PlaneRecord& plane) {
  INGOT_TRY(CheckName(plane.kind).At("kind"));
  if (!plane.attributes.is_object()) return Corruption("attributes are not an object");
  if (plane.level < 0 || plane.level > kMaxLevel)
    return Corruption(fmt::format("level {}, 0 to {} allowed", plane.level, kMaxLevel));
  if (plane.streams.size() > kMaxStreams)
    return Corruption(fmt::format("{} streams, at most {}", plane.streams.size(), kMaxStreams));
  std::set<std::string_view> names;
  for (const StreamRecord& stream : plane.streams) {
    INGOT_TRY(CheckName(stream.name).At("stream"));
    if (!names.insert(stream.name).second)
      return Corruption(fmt::format("stream {} occurs twice", stream.name));
  }
  return OkStatus();
}

Status CheckTensor(const TensorRecord& tensor) {
  INGOT_TRY(CheckShape(tensor.shape));
  INGOT_TRY(CheckName(tensor.dtype).At("dtype"));
  INGOT_TRY(CheckName(tensor.codec).At("codec"));
  INGOT_TRY(CheckName(tensor.role).At("role"));
  if (tensor.layer < -1) return Corruption(fmt::format("layer {}", tensor.layer));
  if (!tensor.extra.is_object()) return Corruption("extra is not an object");
  if (tensor.planes.empty() || tensor.planes.size() > kMaxPlanes)
    return Corruption(fmt::format("{} planes, 1 to {} allowed", tensor.planes.size(), kMaxPlanes));
  int level = 0;
  for (std::size_t p = 0; p < tensor.planes.size(); ++p) {
    INGOT_TRY(CheckPlane(tensor.planes[p]).At(fmt::format("plane {}", p)));
    if (tensor.planes[p].level < level || (p == 0 && tensor.planes[p].level != 0))
      return Corruption(fmt::format("plane {}: level {}; levels start at 0 and never fall", p,
                                    tensor.planes[p].level));
    level = tensor.planes[p].level;
  }
  return OkStatus();
}

// A tensor that an exit names, of the shape and role it needs there.
Status CheckExitTensor(const TensorRecord* tensor, const std::vector<std::uint64_t>& shape,
                       bool router) {
  if (tensor == nullptr) return Corruption("no such tensor");
  if (tensor->shape != shape)
    return Corruption(fmt::format("tensor {} is {}, the exit needs {}", tensor->name,
                                  fmt::join(tensor->shape, "x"), fmt::join(shape, "x")));
  if (router && tensor->role != kRouterRole)
    return Corruption(fmt::format("tensor {} has role {}, the exit needs {}", tensor->name,
                                  tensor->role, kRouterRole));
  return OkStatus();
}

Status CheckExit(const ExitRecord& exit,
                 const std::map<std::string_view, const TensorRecord*>& tensors) {
  const auto find = [&](const std::string& name) {
    const auto it = tensors.find(name);
    return it == tensors.end() ? nullptr : it->second;
  };
  const TensorRecord* up = find(exit.up);
  if (up == nullptr || up->shape.size() != 2)
    return Corruption(fmt::format("up: no matrix named '{}'", exit.up.substr(0, kMaxNameBytes)));
  const std::uint64_t inner = up->shape[0], width = up->shape[1];
  INGOT_TRY(CheckExitTensor(find(exit.norm), {width}, false).At("norm"));
  INGOT_TRY(CheckExitTensor(up, {inner, width}, true).At("up"));
  return CheckExitTensor(find(exit.down), {1, inner}, true).At("down");
}

Status CheckExits(const Manifest& manifest) {
  if (manifest.exits.empty()) return OkStatus();
  std::map<std::string_view, const TensorRecord*> tensors;
  for (const TensorRecord& tensor : manifest.tensors) tensors[tensor.name] = &tensor;
  int last = -1;
  for (const ExitRecord& exit : manifest.exits) {
    const std::string where = fmt::format("exit at layer {}", exit.layer);
    if (exit.layer <= last)
      return Corruption(fmt::format("{}: follows one at layer {}; layers ascend", where, last));
    INGOT_TRY(CheckExit(exit, tensors).At(where));
    last = exit.layer;
  }
  return OkStatus();
}

Status CheckDraftLayers(const Manifest& manifest) {
  int last = 0;
  for (const int layer : manifest.draft_layers) {
    if (layer <= last)
      return Corruption(
          fmt::format("draft leaves out layer {} after layer {}; layers ascend, and "
                      "the first is run",
                      layer, last));
    last = layer;
  }
  return OkStatus();
}

}  // namespace

Status CheckRootText(std::string_view root) {
  const bool digits = root.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (root.size() == 64 && digits) return OkStatus();
  return Corruption("a root is 64 lower-case hexadecimal digits");
}

Status CheckName(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes)
    return Corruption(fmt::format("name of {} bytes, 1 to {} allowed", name.size(), kMaxNameBytes));
  for (std::size_t i = 0; i < name.size();) {
    const auto [kind, n] = untrusted::ClassifyUtf8(name.substr(i));
    if (kind != untrusted::Utf8Kind::kCharacter)
      return Corruption(fmt::format("name is not UTF-8 at byte {}", i));
    if (IsControl(name.substr(i, n)))
      return Corruption(fmt::format("name holds a control character at byte {}", i));
    i += n;
  }
  return OkStatus();
}

Status CheckAssetName(std::string_view name) {
  INGOT_TRY(CheckName(name));
  if (name.size() > kMaxAssetNameBytes)
    return Corruption(
        fmt::format("asset name of {} bytes, at most {}", name.size(), kMaxAssetNameBytes));
  if (name.front() == '.' || name.find_first_of("/\\:") != std::string_view::npos)
    return Corruption(fmt::format("asset '{}' is not a plain file name", name));
  return OkStatus();
}

Status CheckManifest(const Manifest& manifest) {
  if (!manifest.config.is_object()) return Corruption("config is not an object");
  if (!manifest.provenance.is_object()) return Corruption("provenance is not an object");
  std::set<std::string_view> names;
  for (const AssetRecord& asset : manifest.assets) {
    INGOT_TRY(CheckAssetName(asset.name).At("assets"));
    if (!names.insert(asset.name).second)
      return Corruption(fmt::format("asset {} occurs twice", asset.name));
  }
  names.clear();
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    const TensorRecord& tensor = manifest.tensors[i];
    INGOT_TRY(CheckName(tensor.name).At(fmt::format("tensor {}", i)));
    INGOT_TRY(CheckTensor(tensor).At("tensor " + tensor.name));
    if (!names.insert(tensor.name).second)
      return Corruption(fmt::format("tensor {} occurs twice", tensor.name));
  }
  if (!manifest.base_root.empty()) INGOT_TRY(CheckRootText(manifest.base_root).At("base"));
  INGOT_TRY(CheckExits(manifest));
  return CheckDraftLayers(manifest);
}

Status CheckCover(const Manifest& manifest, std::uint32_t chunk_count) {
  std::uint64_t next = 0;
  for (const StreamPlace& place : StreamsInFileOrder(manifest)) {
    const StreamRecord& stream = *place.stream;
    if (stream.first_chunk != next)
      return Corruption(fmt::format("{}: first chunk {}, its place in the file order is {}",
                                    place.Describe(), stream.first_chunk, next));
    if (stream.chunk_count > chunk_count - next)
      return Corruption(fmt::format("{}: chunks {} to {}, the table has {}", place.Describe(), next,
                                    next + stream.chunk_count, chunk_count));
    if (stream.bytes > stream.chunk_count * kMaxChunkBytes || stream.bytes < stream.chunk_count)
      return Corruption(fmt::format("{}: {} bytes in {} chunks", place.Describe(), stream.bytes,
                                    stream.chunk_count));
    next += stream.chunk_count;
  }
  if (next != chunk_count)
    return Corruption(fmt::format("streams hold {} chunks, the table {}", next, chunk_count));
  return OkStatus();
}

}  // namespace ingot::artifact
