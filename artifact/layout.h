// Header, chunk table and signature area as bytes: encode, parse and check. docs/FORMAT.md is
// normative. Parsers take nothing on trust: bounds, then counts, then allocation, then content.
//
// Thread rule: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "artifact/format.h"
#include "artifact/manifest.h"
#include "base/bytes.h"
#include "base/status.h"

namespace ingot::artifact {

std::array<std::uint8_t, kHeaderBytes> EncodeHeader(const Header& header);

// Checks every field against the others. `available_bytes` is the length of the file where it is
// known, else the largest integer. Unsupported for another major version; Corruption for all else,
// a file shorter than its prefix included. A file that ends after the prefix passes: the reader
// says which level it stops at. REQUIRES: nothing of `bytes`, which may be shorter than a header.
Result<Header> ParseHeader(ByteSpan bytes, std::uint64_t available_bytes);

void EncodeTable(const std::vector<ChunkEntry>& chunks, std::vector<std::uint8_t>& out);

// The table alone: known codings, lengths within limits, chunks ascending, gaps shorter than one
// alignment step, the last chunk ends at file_bytes. REQUIRES: header from ParseHeader.
// Corruption names the chunk.
Result<std::vector<ChunkEntry>> ParseTable(const Header& header, ByteSpan table);

// The table against the manifest: each stream's chunks lie back to back, each stream starts exactly
// at the next multiple of its alignment, and its chunks' decoded lengths add up to its length.
Status CheckLayout(const Header& header, const std::vector<ChunkEntry>& chunks,
                   const Manifest& manifest);

// 4096 where a stream of `bytes` in these chunks can be mapped, else 64.
std::uint64_t StreamAlignment(std::uint64_t bytes, const ChunkEntry* first, std::uint32_t count);

// One stream with its place in the model, in file order: assets, then level by level.
struct StreamPlace {
  const StreamRecord* stream = nullptr;
  const TensorRecord* tensor = nullptr;  // null for an asset
  const AssetRecord* asset = nullptr;
  std::size_t plane = 0;
  int level = -1;  // -1 for an asset
  // "tensor NAME, plane 0 (int), stream codes" or "asset NAME".
  std::string Describe() const;
};
std::vector<StreamPlace> StreamsInFileOrder(const Manifest& manifest);
// 1 + the highest level of any plane; 0 for a manifest without tensors.
int LevelCount(const Manifest& manifest);

// The digest that everything hangs on: header, stored manifest with its padding, chunk table.
// REQUIRES: prefix holds [0, data_offset).
Digest RootDigest(ByteSpan prefix);

// Zero bytes only?
bool AllZero(ByteSpan bytes);

}  // namespace ingot::artifact
