// An artifact with some streams replaced by others of the same length, tensors added or left out,
// and everything else, chunk borders included, as it was.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "artifact/reader.h"
#include "artifact/signature.h"
#include "base/status.h"

namespace ingot::pack {

struct Replacement {
  std::size_t plane = 0;
  std::size_t stream = 0;
  std::vector<std::uint8_t> bytes;
};
using Replacements = std::map<std::string, std::vector<Replacement>>;  // by tensor

// A tensor of float32 values as they are, behind all others.
struct AddedTensor {
  std::string name, role;
  std::vector<std::uint64_t> shape;
  int layer = -1;
  std::vector<float> values;
};

struct RewriteOptions {
  std::string target;
  bool force = false;                         // replace an existing target, also the source itself
  const artifact::SigningKey* key = nullptr;  // signatures are not carried over
  std::function<void(artifact::Manifest&)> patch;  // provenance, tensors' extras, exits
  std::vector<AddedTensor> added;
  std::set<std::string> left_out;  // tensors that are not carried over
};

struct RewriteReport {
  std::string root_hex;
  std::uint64_t file_bytes = 0;
};

// Writes `target` whole or not at all; every chunk of the source is verified and every plane
// validated on the way, with its replacements. Errors: InvalidArgument for an existing target
// without force, a replacement of no such stream or of another length; Unsupported for a source cut
// short or a plane kind this build does not decode; Corruption, Io.
Result<RewriteReport> Rewrite(const artifact::ArtifactReader& reader,
                              const Replacements& replacements, const RewriteOptions& options);

}  // namespace ingot::pack
