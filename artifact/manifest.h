// What an artifact says about itself. The container knows names, shapes, levels and bytes; plane
// kinds and attributes are carried through without being understood. docs/FORMAT.md is normative.
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ingot::artifact {

using Json = nlohmann::json;

// A byte array cut into consecutive chunks of the chunk table, each at most kMaxChunkBytes decoded.
struct StreamRecord {
  std::string name;
  std::uint64_t bytes = 0;  // decoded
  std::uint32_t first_chunk = 0;
  std::uint32_t chunk_count = 0;
};

struct PlaneRecord {
  std::string kind;                  // opaque here
  Json attributes = Json::object();  // opaque here
  int level = 0;
  std::vector<StreamRecord> streams;
};

struct TensorRecord {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::string dtype;  // of the source: "bf16"
  std::string codec;  // recipe name, opaque here
  std::string role;   // "embedding", "linear", "head", "vector", "router", "shared"
  int layer = -1;
  std::vector<PlaneRecord> planes;
  Json extra = Json::object();  // measured error, allocation; optional
};

// A file carried along: tokenizer.json, ...
struct AssetRecord {
  std::string name;  // a plain file name: no separators, no leading dot
  StreamRecord stream;
};

// Where a row may leave the model, and the small network that says whether it should: names of
// tensors. What the network computes is the model's business.
struct ExitRecord {
  int layer = 0;     // a row leaves with what this layer gave
  std::string norm;  // [n]
  std::string up;    // [m, n], role "router"
  std::string down;  // [1, m], role "router"
};

struct Manifest {
  Json config = Json::object();      // the model's config.json
  Json provenance = Json::object();  // source digest, tool, recipe, seeds, measured quality
  std::vector<AssetRecord> assets;
  std::vector<TensorRecord> tensors;  // execution order
  std::vector<ExitRecord> exits;      // by ascending layer; `x_exits`: a reader may not know them
  // Layers that a draft leaves out, ascending, never the first; `x_draft_layers`.
  std::vector<int> draft_layers;
  std::string base_root;              // a delta's: root of the artifact it is over, hex; else empty
};

inline constexpr std::string_view kRouterRole =
    "router";  // of an exit
inline constexpr std::string_view kSharedRole = "shared";  // read by planes of other tensors

// The lowest minor version that defines all that a manifest uses: what a writer puts in the header.
std::uint16_t MinorVersion(const Manifest& manifest);

// Canonical JSON: keys sorted, no white space, UTF-8, shortest round-trip numbers.
std::string SerializeManifest(const Manifest& manifest);

// Corruption or Unsupported with the place; checks names, duplicates, shapes, counts and that the
// streams cover chunks [0, chunk_count) without holes or overlap.
Result<Manifest> ParseManifest(std::string_view json, std::uint32_t chunk_count);

}  // namespace ingot::artifact
