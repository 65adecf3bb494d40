#include "artifact/decoded_size.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/bytes.h"

namespace ingot::artifact {
namespace {

struct Sizes {
  std::uint64_t stored = 0;
  std::uint64_t decoded = 0;  // of chunks that are not raw: those are mapped
  std::uint64_t weights = 0;  // as float32; saturates

  void Add(const ArtifactReader& reader, const StreamRecord& stream) {
    for (const ChunkEntry& chunk :
         reader.chunks().subspan(stream.first_chunk, stream.chunk_count)) {
      stored += chunk.stored_bytes;
      if (chunk.coding != ChunkCoding::kRaw) decoded += chunk.decoded_bytes;
    }
  }

  void AddWeights(const TensorRecord& tensor) {
    std::uint64_t bytes = sizeof(float);
    for (const std::uint64_t n : tensor.shape)
      bytes *= n;  // at most 2^50, by the manifest's checks
    weights = CheckedAdd(weights, bytes).value_or(std::numeric_limits<std::uint64_t>::max());
  }
};

Sizes SizesOf(const ArtifactReader& reader) {
  Sizes sizes;
  sizes.stored = reader.header().data_offset;
  for (const AssetRecord& asset : reader.manifest().assets) sizes.Add(reader, asset.stream);
  for (const TensorRecord& tensor : reader.manifest().tensors) {
    sizes.AddWeights(tensor);
    for (const PlaneRecord& plane : tensor.planes) {
      if (plane.level > reader.complete_level()) continue;
      for (const StreamRecord& stream : plane.streams) sizes.Add(reader, stream);
    }
  }
  return sizes;
}

// Assets are text that is parsed, at a multiple of its size: each by itself.
Status CheckAssets(const ArtifactReader& reader, std::uint64_t max_decoded_bytes) {
  for (const AssetRecord& asset : reader.manifest().assets) {
    Sizes sizes;
    sizes.Add(reader, asset.stream);
    const std::uint64_t limit =
        max_decoded_bytes > 0 ? max_decoded_bytes
                              : std::max(kAssetAlways, kDecodedPerStored * sizes.stored);
    if (sizes.decoded > limit)
      return LimitExceeded(fmt::format(
          "asset '{}': {} stored bytes become {}, at most {} are allowed; --max-decoded allows "
          "more where the file is trusted",
          asset.name, sizes.stored, sizes.decoded, limit));
  }
  return OkStatus();
}

}  // namespace

Status CheckDecodedSize(const ArtifactReader& reader, std::uint64_t max_decoded_bytes) {
  INGOT_TRY(CheckAssets(reader, max_decoded_bytes));
  const Sizes sizes = SizesOf(reader);
  const std::uint64_t limit = max_decoded_bytes > 0
                                  ? max_decoded_bytes
                                  : std::max(kDecodedAlways, kDecodedPerStored * sizes.stored);
  const std::uint64_t most = std::max(sizes.decoded, sizes.weights);
  if (most <= limit) return OkStatus();
  return LimitExceeded(fmt::format(
      "{} stored bytes become {}, at most {} are allowed; --max-decoded allows more where the file "
      "is trusted",
      sizes.stored, most, limit));
}

}  // namespace ingot::artifact
