// Rules that names and records of a manifest obey, for reader and writer alike.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string_view>

#include "artifact/manifest.h"
#include "base/status.h"

namespace ingot::artifact {

inline constexpr std::size_t kMaxNameBytes = 1024;
inline constexpr std::size_t kMaxRank = 8;
inline constexpr int kMaxLevel = 63;
inline constexpr std::size_t kMaxPlanes = 64;
inline constexpr std::size_t kMaxStreams = 64;  // of one plane

// 1 to kMaxNameBytes bytes of UTF-8 without control characters.
Status CheckName(std::string_view name);
// A plain file name: CheckName, at most 255 bytes, no '/', '\\' or ':', no leading dot.
Status CheckAssetName(std::string_view name);

// 64 lower-case hexadecimal digits: a root digest.
Status CheckRootText(std::string_view root);

// What both sides demand of whole records: names, shapes, levels and counts, no duplicates.
// Streams' chunks are not looked at. Corruption names the tensor or asset.
Status CheckManifest(const Manifest& manifest);

// Assigned in file order, streams hold chunks [0, chunk_count) without holes or overlap.
Status CheckCover(const Manifest& manifest, std::uint32_t chunk_count);

}  // namespace ingot::artifact
