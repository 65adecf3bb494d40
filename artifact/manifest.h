// What an artifact says about itself. The container knows names, shapes, levels and bytes; plane kinds
// and attributes are carried through without being understood. docs/FORMAT.md is normative.
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
  std::string kind;                   // opaque here
  Json attributes = Json::object();   // opaque here
  int level = 0;
  std::vector<StreamRecord> streams;
};

struct TensorRecord {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::string dtype;                  // of the source: "bf16"
  std::string codec;                  // recipe name, opaque here
  std::string role;                   // "embedding", "linear", "head", "vector"
  int layer = -1;
  std::vector<PlaneRecord> planes;
  Json extra = Json::object();        // measured error, allocation; optional
};

// A file carried along: tokenizer.json, ...
struct AssetRecord {
  std::string name;                   // a plain file name: no separators, no leading dot
  StreamRecord stream;
};

struct Manifest {
  Json config = Json::object();       // the model's config.json
  Json provenance = Json::object();   // source digest, tool, recipe, seeds, measured quality
  std::vector<AssetRecord> assets;
  std::vector<TensorRecord> tensors;  // execution order
};

// Canonical JSON: keys sorted, no white space, UTF-8, shortest round-trip numbers.
std::string SerializeManifest(const Manifest& manifest);

// Corruption or Unsupported with the place; checks names, duplicates, shapes, counts and that the streams
// cover chunks [0, chunk_count) without holes or overlap.
Result<Manifest> ParseManifest(std::string_view json, std::uint32_t chunk_count);

}  // namespace ingot::artifact
