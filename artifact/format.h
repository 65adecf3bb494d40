// The fixed binary layout, shared by reader and writer; docs/FORMAT.md is normative.
//
//   [0, 64)        header
//   [64, 4160)     signature area, unused bytes zero
//   [4160, ...)    manifest (canonical JSON, zstd), zero padding to 64
//   ...            chunk table, 64 bytes an entry
//   ...            chunks, in streaming order
//
// Root digest = BLAKE3 of (header, stored manifest with its padding, chunk table). Signatures sign the
// root; each chunk's digest is in the table; the signature area holds a digest of itself and the root.
// So every byte is covered, signed or not.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"

namespace ingot::artifact {

// 0x89 catches seven-bit transfer, CR LF and LF catch text-mode damage, 0x1a stops a DOS `type`.
inline constexpr std::array<std::uint8_t, 8> kMagic = {0x89, 'I', 'N', 'G', 0x0d, 0x0a, 0x1a, 0x0a};
inline constexpr std::uint16_t kMajor = 1;
inline constexpr std::uint16_t kMinor = 0;  // what a manifest without later additions is written as
inline constexpr std::uint64_t kHeaderBytes = 64;
inline constexpr std::uint64_t kSignatureAreaOffset = 64;
inline constexpr std::uint64_t kSignatureAreaBytes = 4096;
inline constexpr std::uint64_t kManifestOffset = kSignatureAreaOffset + kSignatureAreaBytes;
inline constexpr std::uint64_t kEntryBytes = 64;
inline constexpr std::uint64_t kMaxChunkBytes = std::uint64_t{4} << 20;
inline constexpr std::uint64_t kMaxManifestBytes = std::uint64_t{256} << 20;  // decoded
inline constexpr std::uint64_t kMapAlignment = 4096;     // the first raw chunk of a large stream
inline constexpr std::uint64_t kSmallAlignment = 64;     // the first chunk of any other stream
inline constexpr std::uint64_t kMapThreshold = 64 << 10; // streams at least this long count as large

enum class ChunkCoding : std::uint8_t { kRaw = 0, kZstd = 1, kRans = 2 };

struct Header {
  std::uint16_t major = kMajor;
  std::uint16_t minor = kMinor;
  std::uint32_t chunk_count = 0;
  std::uint64_t manifest_stored_bytes = 0;
  std::uint64_t manifest_decoded_bytes = 0;
  std::uint64_t table_offset = 0;
  std::uint64_t data_offset = 0;  // the end of the table: the prefix that opens a file
  std::uint64_t file_bytes = 0;
};

struct ChunkEntry {
  std::uint64_t offset = 0;
  std::uint32_t stored_bytes = 0;
  std::uint32_t decoded_bytes = 0;
  ChunkCoding coding = ChunkCoding::kRaw;
  Digest digest{};  // BLAKE3-256 of the stored bytes
};

}  // namespace ingot::artifact
