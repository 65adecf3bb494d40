#include "artifact/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "artifact/artifact_view.h"
#include "artifact/coding.h"

namespace ingot::artifact {

ArtifactView::ArtifactView(std::unique_ptr<Prefix> prefix, Region region, File file,
                           std::uint64_t available, bool verified)
    : prefix_(std::move(prefix)),
      region_(std::move(region)),
      file_(std::move(file)),
      available_(available),
      verified_(verified),
      complete_level_(prefix_->CompleteLevel(available)) {}

Result<std::unique_ptr<ArtifactReader>> ArtifactReader::Open(const std::string& path,
                                                             const OpenOptions& options) {
  INGOT_ASSIGN(File file, File::OpenRead(path));
  INGOT_ASSIGN(const std::uint64_t bytes, file.Size().At(path));
  INGOT_ASSIGN(auto prefix, ReadPrefix(file, bytes, options).At(path));
  INGOT_TRY(prefix->CheckLength(bytes, options).At(path));
  INGOT_ASSIGN(Region region, Region::MapFile(file.fd(), bytes).At(path));
  return std::unique_ptr<ArtifactReader>(std::make_unique<ArtifactView>(
      std::move(prefix), std::move(region), std::move(file), bytes, /*verified=*/false));
}

Result<ByteSpan> ArtifactView::StoredChunk(std::size_t index) const {
  const ChunkEntry& chunk = prefix_->chunks[index];
  if (chunk.offset + chunk.stored_bytes > available_)
    return Corruption(fmt::format("chunk {}: ends at {}, the truncated file at {}", index,
                                  chunk.offset + chunk.stored_bytes, available_));
  const ByteSpan stored = region_.bytes().subspan(chunk.offset, chunk.stored_bytes);
  if (!verified_) {
    region_.Populate(chunk.offset, chunk.stored_bytes);
    if (DigestOf(stored) != chunk.digest)
      return Corruption(fmt::format("chunk {}: {} bytes at {} contradict their digest", index,
                                    chunk.stored_bytes, chunk.offset));
  }
  return stored;
}

Status ArtifactView::CheckRange(const StreamRecord& stream) const {
  const std::size_t count = prefix_->chunks.size();
  if (stream.chunk_count > count || stream.first_chunk > count - stream.chunk_count)
    return InvalidArgument(
        fmt::format("stream {}: chunks {} to {} of {}", stream.name, stream.first_chunk,
                    std::uint64_t{stream.first_chunk} + stream.chunk_count, count));
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < stream.chunk_count; ++i)
    bytes += prefix_->chunks[stream.first_chunk + i].decoded_bytes;
  if (bytes != stream.bytes)
    return InvalidArgument(
        fmt::format("stream {}: {} bytes, its chunks hold {}", stream.name, stream.bytes, bytes));
  return OkStatus();
}

Status ArtifactView::DecodeInto(const StreamRecord& stream, MutableByteSpan out) const {
  std::uint64_t position = 0;
  for (std::uint32_t i = 0; i < stream.chunk_count; ++i) {
    const std::size_t index = stream.first_chunk + i;
    const ChunkEntry& chunk = prefix_->chunks[index];
    INGOT_ASSIGN(const ByteSpan stored, StoredChunk(index));
    INGOT_TRY(DecodeChunk(chunk.coding, stored, out.subspan(position, chunk.decoded_bytes))
                  .At(fmt::format("chunk {}", index)));
    position += chunk.decoded_bytes;
  }
  return OkStatus();
}

Result<StreamBytes> ArtifactView::ReadStream(const StreamRecord& stream) const {
  INGOT_TRY(CheckRange(stream));
  if (stream.chunk_count == 0) return StreamBytes();
  const ChunkEntry* first = prefix_->chunks.data() + stream.first_chunk;
  // CheckLayout: the chunks of one stream lie back to back. A record of the caller's own making may
  // span streams, so look once more.
  bool mappable = true;
  std::uint64_t end = first->offset;
  for (std::uint32_t i = 0; i < stream.chunk_count; ++i) {
    mappable = mappable && first[i].coding == ChunkCoding::kRaw && first[i].offset == end;
    end = first[i].offset + first[i].stored_bytes;
  }
  if (mappable) {
    for (std::uint32_t i = 0; i < stream.chunk_count; ++i)
      INGOT_TRY(StoredChunk(stream.first_chunk + i).status());
    return StreamBytes(region_.bytes().subspan(first->offset, stream.bytes));
  }
  // A small file may claim much: its chunks may really decode to that. Memory is the limit, not a
  // crash.
  try {
    ByteBuffer out(stream.bytes);
    INGOT_TRY(DecodeInto(stream, {out.data(), out.size()}));
    return StreamBytes(std::move(out));
  } catch (const std::bad_alloc&) {
    return LimitExceeded(
        fmt::format("stream {}: no memory for its {} bytes", stream.name, stream.bytes));
  }
}

Result<std::string> ArtifactView::ReadAsset(std::string_view name) const {
  for (const AssetRecord& asset : prefix_->manifest.assets) {
    if (asset.name != name) continue;
    INGOT_ASSIGN(const StreamBytes content,
                 ReadStream(asset.stream).At(fmt::format("asset {}", name)));
    return std::string(AsText(content.bytes()));
  }
  return NotFound(fmt::format("the artifact carries no file '{}'", name));
}

}  // namespace ingot::artifact
