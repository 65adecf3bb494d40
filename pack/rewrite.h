// An artifact with some streams replaced by others of the same length and everything else, chunk
// borders included, as it was.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "artifact/reader.h"
#include "artifact/signature.h"
#include "base/status.h"
#include "codecs/plane.h"

namespace ingot::pack {

struct Replacement {
  std::size_t plane = 0;
  std::size_t stream = 0;
  std::vector<std::uint8_t> bytes;
};
using Replacements = std::map<std::string, std::vector<Replacement>>;  // by tensor

struct RewriteOptions {
  std::string target;
  bool force = false;                         // replace an existing target, also the source itself
  const artifact::SigningKey* key = nullptr;  // signatures are not carried over
  std::function<void(artifact::Manifest&)> patch;  // provenance, tensors' extras
};

struct RewriteReport {
  std::string root_hex;
  std::uint64_t file_bytes = 0;
};

// Writes `target` whole or not at all; every chunk of the source is verified on the way. Errors:
// InvalidArgument for an existing target without force, a replacement of no such stream or of
// another length; Unsupported for a source cut short; Corruption, Io.
Result<RewriteReport> Rewrite(const artifact::ArtifactReader& reader,
                              const Replacements& replacements, const RewriteOptions& options);

// A plane as codecs know it. Corruption where an attribute is neither a number nor text.
Result<codecs::PlaneSpec> SpecOf(const artifact::PlaneRecord& plane);

// Rows and columns of a tensor's matrix view; a vector is 1 x n. Corruption where it is empty or
// has more than 2^62 weights.
struct MatrixShape {
  std::uint64_t rows = 1;
  std::uint64_t cols = 1;
};
Result<MatrixShape> ShapeOf(const artifact::TensorRecord& record);

}  // namespace ingot::pack
