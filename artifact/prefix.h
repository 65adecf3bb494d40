// The prefix of an artifact, [0, data_offset): read from a source, then parsed and checked before a
// byte of payload is looked at.
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "artifact/format.h"
#include "artifact/layout.h"
#include "artifact/manifest.h"
#include "artifact/open_options.h"
#include "artifact/signature.h"
#include "artifact/source.h"
#include "base/status.h"

namespace ingot::artifact {

struct Prefix {
  Header header;
  std::vector<Signature> signatures;
  Manifest manifest;
  std::vector<ChunkEntry> chunks;
  Digest root{};
  int level_count = 0;
  // Per chunk, the level it belongs to (-1: assets), and what it is part of.
  std::vector<StreamPlace> places;         // in file order; pointers into manifest
  std::vector<std::uint32_t> chunk_place;  // chunk -> index into places

  Prefix() = default;
  Prefix(const Prefix&) = delete;
  Prefix& operator=(const Prefix&) = delete;

  // "tensor NAME, plane 0 (int), stream codes, chunk 12"
  std::string Describe(std::size_t chunk) const;
  // Highest level whose chunks, and those of all levels and assets before it, end by `bytes`.
  int CompleteLevel(std::uint64_t bytes) const;
  // Bytes of a file that ends with this level; -1: with the assets.
  std::uint64_t LevelEnd(int level) const;
  // OK where `available` is all of the file, or may be less under the options.
  Status CheckLength(std::uint64_t available, const OpenOptions& options) const;
};

// Parses and checks bytes [0, data_offset). Signatures are checked first, before the manifest is
// decompressed.
Result<std::unique_ptr<Prefix>> ParsePrefix(const Header& header, ByteSpan bytes,
                                            const OpenOptions& options);

// Reads it from the start of a source. One of unknown length is read in steps, growing as bytes
// arrive: a header that lies costs nothing.
Result<std::unique_ptr<Prefix>> ReadPrefix(Source& source, const OpenOptions& options);
// The same of a file of file_bytes that stays the caller's.
Result<std::unique_ptr<Prefix>> ReadPrefix(const File& file, std::uint64_t file_bytes,
                                           const OpenOptions& options);

}  // namespace ingot::artifact
