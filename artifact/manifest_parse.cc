#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <utility>

#include "artifact/format.h"
#include "artifact/manifest.h"
#include "artifact/manifest_checks.h"
#include "untrusted/json_guard.h"

namespace ingot::artifact {
namespace {

// Values a manifest may hold: what real ones need many times over, and a bound on the memory that a
// small compressed manifest can claim.
constexpr std::uint64_t kBaseValues = std::uint64_t{1} << 20;
constexpr std::uint64_t kValuesPerChunk = 64;
constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxStringBytes = std::size_t{1} << 20;

// An object that has all the fields of `required`; any other is in `known`, or marked optional by a
// leading "x_".
class Fields {
 public:
  using Names = std::initializer_list<std::string_view>;
  static Result<Fields> Of(const Json& json, Names required, Names known = {}) {
    if (!json.is_object()) return Corruption("not an object");
    std::size_t found = 0;
    for (const auto& item : json.items()) {
      const std::string& key = item.key();
      const bool is_required = Contains(required, key);
      if (!is_required && !Contains(known, key) && key.rfind("x_", 0) != 0)
        return Unsupported(fmt::format("field '{}' is not known to this build; use a newer ingot",
                                       key.substr(0, 80)));
      found += is_required;
    }
    if (found != required.size())
      for (const std::string_view name : required)
        if (!json.contains(name)) return Corruption(fmt::format("field '{}' is missing", name));
    return Fields(json);
  }

  bool Has(const char* key) const { return json_->contains(key); }
  Result<std::string> Text(const char* key) const {
    const Json& value = json_->at(key);
    if (!value.is_string()) return Corruption(fmt::format("field '{}' is not a string", key));
    return value.get<std::string>();
  }
  Result<std::uint64_t> Unsigned(const char* key, std::uint64_t max) const {
    return UnsignedOf(json_->at(key), max).At(fmt::format("field '{}'", key));
  }
  Result<int> Integer(const char* key, int min, int max) const {
    const Json& value = json_->at(key);
    if (value.is_number_integer()) {
      // An unsigned value past the int64 range would read as negative.
      const bool fits = !value.is_number_unsigned() ||
                        value.get<std::uint64_t>() <= static_cast<std::uint64_t>(max);
      if (fits && value.get<std::int64_t>() >= min && value.get<std::int64_t>() <= max)
        return value.get<int>();
    }
    return Corruption(fmt::format("field '{}' is not an integer from {} to {}", key, min, max));
  }
  Result<const Json*> Object(const char* key) const {
    const Json& value = json_->at(key);
    if (!value.is_object()) return Corruption(fmt::format("field '{}' is not an object", key));
    return &value;
  }
  Result<const Json*> Array(const char* key) const {
    const Json& value = json_->at(key);
    if (!value.is_array()) return Corruption(fmt::format("field '{}' is not an array", key));
    return &value;
  }

  static Result<std::uint64_t> UnsignedOf(const Json& value, std::uint64_t max) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > max)
      return Corruption(fmt::format("not an integer from 0 to {}", max));
    return value.get<std::uint64_t>();
  }

 private:
  explicit Fields(const Json& json) : json_(&json) {}
  static bool Contains(Names names, std::string_view key) {
    return std::find(names.begin(), names.end(), key) != names.end();
  }
  const Json* json_;
};

constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 62;
constexpr std::uint64_t kMaxU32 = std::numeric_limits<std::uint32_t>::max();

// Also an asset: it is a stream whose name is the file's.
Result<StreamRecord> ParseStream(const Json& json) {
  INGOT_ASSIGN(const Fields fields,
               Fields::Of(json, {"name", "bytes", "first_chunk", "chunk_count"}));
  StreamRecord stream;
  INGOT_ASSIGN(stream.name, fields.Text("name"));
  INGOT_ASSIGN(stream.bytes, fields.Unsigned("bytes", kMaxSize));
  INGOT_ASSIGN(const std::uint64_t first, fields.Unsigned("first_chunk", kMaxU32));
  INGOT_ASSIGN(const std::uint64_t count, fields.Unsigned("chunk_count", kMaxU32));
  stream.first_chunk = static_cast<std::uint32_t>(first);
  stream.chunk_count = static_cast<std::uint32_t>(count);
  return stream;
}

Result<PlaneRecord> ParsePlane(const Json& json) {
  INGOT_ASSIGN(const Fields fields, Fields::Of(json, {"kind", "attributes", "level", "streams"}));
  PlaneRecord plane;
  INGOT_ASSIGN(plane.kind, fields.Text("kind"));
  INGOT_ASSIGN(const Json* attributes, fields.Object("attributes"));
  plane.attributes = *attributes;
  INGOT_ASSIGN(plane.level, fields.Integer("level", 0, kMaxLevel));
  INGOT_ASSIGN(const Json* streams, fields.Array("streams"));
  for (std::size_t i = 0; i < streams->size(); ++i) {
    INGOT_ASSIGN(StreamRecord stream, ParseStream((*streams)[i]).At(fmt::format("stream {}", i)));
    plane.streams.push_back(std::move(stream));
  }
  return plane;
}

Result<TensorRecord> ParseTensor(const Json& json) {
  INGOT_ASSIGN(const Fields fields, Fields::Of(json, {"name", "shape", "dtype", "codec", "role",
                                                      "layer", "extra", "planes"}));
  TensorRecord tensor;
  INGOT_ASSIGN(tensor.name, fields.Text("name"));
  INGOT_ASSIGN(tensor.dtype, fields.Text("dtype"));
  INGOT_ASSIGN(tensor.codec, fields.Text("codec"));
  INGOT_ASSIGN(tensor.role, fields.Text("role"));
  INGOT_ASSIGN(tensor.layer, fields.Integer("layer", -1, std::numeric_limits<int>::max()));
  INGOT_ASSIGN(const Json* extra, fields.Object("extra"));
  tensor.extra = *extra;
  INGOT_ASSIGN(const Json* shape, fields.Array("shape"));
  for (const Json& n : *shape) {
    INGOT_ASSIGN(const std::uint64_t size, Fields::UnsignedOf(n, kMaxSize).At("shape"));
    tensor.shape.push_back(size);
  }
  INGOT_ASSIGN(const Json* planes, fields.Array("planes"));
  for (std::size_t i = 0; i < planes->size(); ++i) {
    INGOT_ASSIGN(PlaneRecord plane, ParsePlane((*planes)[i]).At(fmt::format("plane {}", i)));
    tensor.planes.push_back(std::move(plane));
  }
  return tensor;
}

Result<ExitRecord> ParseExit(const Json& json) {
  INGOT_ASSIGN(const Fields fields, Fields::Of(json, {"layer", "norm", "up", "down"}));
  ExitRecord exit;
  INGOT_ASSIGN(exit.layer, fields.Integer("layer", 0, std::numeric_limits<int>::max()));
  INGOT_ASSIGN(exit.norm, fields.Text("norm"));
  INGOT_ASSIGN(exit.up, fields.Text("up"));
  INGOT_ASSIGN(exit.down, fields.Text("down"));
  return exit;
}

// What minor versions 1 and 2 added.
Status ParseAdditions(const Fields& fields, Manifest& manifest) {
  if (fields.Has("base")) {
    INGOT_ASSIGN(const Json* json, fields.Object("base"));
    INGOT_ASSIGN(const Fields base, Fields::Of(*json, {"root"}).At("base"));
    INGOT_ASSIGN(manifest.base_root, base.Text("root").At("base"));
    INGOT_TRY(CheckRootText(manifest.base_root).At("base"));
  }
  if (fields.Has("x_exits")) {
    INGOT_ASSIGN(const Json* exits, fields.Array("x_exits"));
    for (std::size_t i = 0; i < exits->size(); ++i) {
      INGOT_ASSIGN(ExitRecord exit, ParseExit((*exits)[i]).At(fmt::format("exit {}", i)));
      manifest.exits.push_back(std::move(exit));
    }
  }
  if (!fields.Has("x_draft_layers")) return OkStatus();
  INGOT_ASSIGN(const Json* layers, fields.Array("x_draft_layers"));
  for (const Json& json : *layers) {
    INGOT_ASSIGN(const std::uint64_t layer,
                 Fields::UnsignedOf(json, std::numeric_limits<int>::max()).At("x_draft_layers"));
    manifest.draft_layers.push_back(static_cast<int>(layer));
  }
  return OkStatus();
}

Status ParseLists(const Fields& fields, Manifest& manifest) {
  INGOT_ASSIGN(const Json* assets, fields.Array("assets"));
  for (std::size_t i = 0; i < assets->size(); ++i) {
    INGOT_ASSIGN(StreamRecord stream, ParseStream((*assets)[i]).At(fmt::format("asset {}", i)));
    AssetRecord asset{stream.name, stream};
    asset.stream.name = "content";
    manifest.assets.push_back(std::move(asset));
  }
  INGOT_ASSIGN(const Json* tensors, fields.Array("tensors"));
  for (std::size_t i = 0; i < tensors->size(); ++i) {
    INGOT_ASSIGN(TensorRecord tensor, ParseTensor((*tensors)[i]).At(fmt::format("tensor {}", i)));
    manifest.tensors.push_back(std::move(tensor));
  }
  return OkStatus();
}

}  // namespace

Result<Manifest> ParseManifest(std::string_view text, std::uint32_t chunk_count) {
  if (text.size() > kMaxManifestBytes)
    return LimitExceeded(fmt::format("{} bytes, at most {}", text.size(), kMaxManifestBytes));
  INGOT_ASSIGN(Json json,
               untrusted::ParseJson(text, {kMaxDepth, kBaseValues + kValuesPerChunk * chunk_count,
                                           kMaxStringBytes}));
  INGOT_ASSIGN(const Fields fields,
               Fields::Of(json, {"config", "provenance", "assets", "tensors"}, {"base"}));
  Manifest manifest;
  INGOT_TRY(fields.Object("config").status());
  INGOT_TRY(fields.Object("provenance").status());
  INGOT_TRY(ParseLists(fields, manifest));
  INGOT_TRY(ParseAdditions(fields, manifest));
  manifest.config = std::move(json["config"]);
  manifest.provenance = std::move(json["provenance"]);
  INGOT_TRY(CheckManifest(manifest));
  INGOT_TRY(CheckCover(manifest, chunk_count));
  return manifest;
}

}  // namespace ingot::artifact
