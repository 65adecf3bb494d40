// A bound on what an artifact's bytes may become before any of them is decoded: 68 kB of zeros,
// well compressed, would be gigabytes of weights.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>

#include "artifact/reader.h"
#include "base/status.h"

namespace ingot::artifact {

// Whatever the file's size, so that a process stays within 256 MiB with all that it makes of them
// (tools/bench/crafted_cost.py); and per stored byte: half a bit a weight is 64 bytes of float32 a
// byte.
inline constexpr std::uint64_t kDecodedAlways = std::uint64_t{128} << 20;
inline constexpr std::uint64_t kDecodedPerStored = 64;
// An asset's, in place of kDecodedAlways.
inline constexpr std::uint64_t kAssetAlways = std::uint64_t{16} << 20;

// Of the assets and the complete levels: coded chunks decoded, and all weights as float32, each
// against max_decoded_bytes, or where that is 0 the larger of kDecodedAlways and kDecodedPerStored
// times what is stored; and each asset. Limit.
Status CheckDecodedSize(const ArtifactReader& reader, std::uint64_t max_decoded_bytes);

}  // namespace ingot::artifact
