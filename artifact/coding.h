// How a chunk's bytes are stored: as they are, zstd, or rANS (the order-0, 32-way interleaved form
// of CRAM 3.1's "rANS Nx16", through htscodecs). docs/FORMAT.md describes the streams.
//
// Thread rule: pure functions; work memory is per thread.
#pragma once

#include <vector>

#include "artifact/format.h"
#include "base/bytes.h"
#include "base/status.h"

namespace ingot::artifact {

enum class CodingHint {
  kRaw,      // store as it is
  kGeneral,  // zstd where that saves at least 3 %
  kEntropy,  // rANS where that saves at least 3 %
};

struct EncodedChunk {
  ChunkCoding coding = ChunkCoding::kRaw;
  ByteSpan stored;  // the input, or a view of per-thread memory that lives until the next call
};

// Deterministic: the same on every processor. A coded form is taken only where it saves at least 3
// %. REQUIRES: 0 < raw.size() <= kMaxChunkBytes.
EncodedChunk EncodeChunk(CodingHint hint, ByteSpan raw);

// Fills `out`, which is decoded_bytes long. Corruption where `stored` does not decode to exactly
// that. Memory beyond `out` is bounded by a constant, whatever the stored bytes say.
Status DecodeChunk(ChunkCoding coding, ByteSpan stored, MutableByteSpan out);

// One zstd frame with its content size and without a checksum; what the manifest is stored as.
std::vector<std::uint8_t> CompressZstd(ByteSpan raw, int level);
// Corruption unless the one frame in `stored` decodes to exactly out.size() bytes.
Status DecompressZstd(ByteSpan stored, MutableByteSpan out);

}  // namespace ingot::artifact
