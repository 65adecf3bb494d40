// What an artifact is, from its prefix alone: model, origin, sizes, planes, signatures. Sizes
// always name their base and come in two kinds: stored (in the file) and resident (decoded, in
// memory).
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "artifact/reader.h"
#include "base/status.h"

namespace ingot::inspect {

using Json = nlohmann::json;

struct SizeSum {
  std::uint64_t tensors = 0;
  std::uint64_t weights = 0;
  std::uint64_t stored_bytes = 0;    // all streams of all planes: scales, zeros, indices included
  std::uint64_t resident_bytes = 0;  // the same streams decoded
  std::uint64_t source_bytes = 0;    // in the source's format

  SizeSum& operator+=(const SizeSum& other);
  double stored_bits_per_weight() const;  // 0 where there are no weights
  double resident_bits_per_weight() const;
};

struct PlaneSummary {
  std::string kind;
  std::string description;  // "int4 g128"
  int level = 0;
  std::uint64_t stored_bytes = 0;
  std::uint64_t resident_bytes = 0;
};

struct TensorSummary {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::string dtype;  // of the source
  std::string codec;
  std::string role;
  int layer = -1;
  double relative_error = -1;  // RMS of the error over RMS of the weights; -1 where not recorded
  double predicted_loss = -1;  // nats a token, by the statistics it was rounded with; < 0: none
  std::vector<PlaneSummary> planes;
  std::vector<int> planes_by_class;  // that a token of each class reads; empty: all, whatever class
  SizeSum size;
  std::string content;  // digest over its chunks' digests; empty where there are none
};

struct SignatureSummary {
  std::string kind;
  std::string key_id;
  bool verifies =
      false;             // Ed25519: under the public key it carries. HMAC: under the given key only
  bool trusted = false;  // it is by the key that was given
};

struct Summary {
  Json config;
  Json provenance;
  int format_major = 0;
  int format_minor = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t chunk_count = 0;
  std::uint64_t prefix_bytes = 0;  // header, signatures, manifest, chunk table
  std::uint64_t asset_bytes = 0;   // stored
  std::string root_digest;         // hexadecimal
  std::string base_root;           // of what a delta is over; else empty
  std::vector<int> exit_layers, draft_layers;
  int complete_level = -1;
  std::vector<TensorSummary> tensors;  // streaming order
  std::map<std::string, SizeSum> by_role;
  std::vector<std::uint64_t> level_bytes;  // stored, by refinement level
  std::vector<std::uint64_t> level_ends;   // of a file cut behind each, whether there or not
  std::vector<SignatureSummary> signatures;
  SizeSum total;

  SizeSum role(const std::string& name) const;
};

// "int4 g128": a plane's kind and attributes in a word or two.
std::string DescribePlane(const artifact::PlaneRecord& plane);

// `key` is the one the reader was opened with, or null.
Summary Summarize(const artifact::ArtifactReader& reader, const artifact::VerifyingKey* key);

// What a file that was cut short is used with, for a person who asked for no levels; else empty.
std::string MissingLevels(const artifact::ArtifactReader& reader);

// Leaves what the first `levels` levels are: planes, sums and file size of a file that ends there.
void KeepLevels(Summary& summary, int levels);

// One object; its schema is docs/schemas/inspect.json. `tensors` is always there.
Json SummaryJson(const Summary& summary);

// "hadamard + int4 g128": a tensor's planes, with their levels.
std::string PlanesText(const TensorSummary& tensor);

// The page that `ingot inspect` prints, in lines of `columns` (0: as long as they are). `title` is
// the file's name; with_tensors has a line a tensor, however long; `run` is what running it takes,
// where that is known.
std::string SummaryText(const Summary& summary, const std::string& title, bool with_tensors,
                        std::size_t columns = 0, const std::string& run = {});

// "is a model directory, ...": why something that was given instead of an artifact is none, where
// that can be told. OK otherwise.
Status CheckNotAModel(const std::string& path);

}  // namespace ingot::inspect
