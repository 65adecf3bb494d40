#include "artifact/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "artifact/coding.h"
#include "artifact/payload.h"
#include "artifact/prefix.h"

namespace ingot::artifact {

namespace {

// Highest level before the first chunk that is not to be had.
int CompleteLevel(const Prefix& prefix, const Payload& payload) {
  for (std::size_t i = 0; i < prefix.chunks.size(); ++i)
    if (!payload.Available(i)) return std::max(prefix.places[prefix.chunk_place[i]].level, 0) - 1;
  return prefix.level_count - 1;
}

}  // namespace

ArtifactReader::ArtifactReader(std::unique_ptr<const Prefix> prefix,
                               std::unique_ptr<const Payload> payload)
    : prefix_(std::move(prefix)),
      payload_(std::move(payload)),
      complete_level_(CompleteLevel(*prefix_, *payload_)) {}
ArtifactReader::~ArtifactReader() = default;

Result<std::unique_ptr<ArtifactReader>> ArtifactReader::Open(std::unique_ptr<Source> source,
                                                             const OpenOptions& options) {
  INGOT_ASSIGN(std::unique_ptr<const Prefix> prefix, ReadPrefix(*source, options));
  INGOT_ASSIGN(auto payload, Payload::Open(std::move(source), *prefix, options));
  return std::unique_ptr<ArtifactReader>(new ArtifactReader(std::move(prefix), std::move(payload)));
}

Result<std::unique_ptr<ArtifactReader>> ArtifactReader::Open(const std::string& path,
                                                             const OpenOptions& options) {
  INGOT_ASSIGN(std::unique_ptr<Source> source, FileSource(path));
  return Open(std::move(source), options).At(path);
}

Result<std::unique_ptr<ArtifactReader>> ArtifactReader::OpenPipe(int fd,
                                                                 const OpenOptions& options) {
  return Open(PipeSource(fd), options);
}

const Header& ArtifactReader::header() const { return prefix_->header; }
const Manifest& ArtifactReader::manifest() const { return prefix_->manifest; }
std::span<const ChunkEntry> ArtifactReader::chunks() const { return prefix_->chunks; }
const Digest& ArtifactReader::root() const { return prefix_->root; }
const std::vector<Signature>& ArtifactReader::signatures() const { return prefix_->signatures; }
int ArtifactReader::level_count() const { return prefix_->level_count; }

Status ArtifactReader::CheckRange(const StreamRecord& stream) const {
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

Status ArtifactReader::DecodeInto(const StreamRecord& stream, MutableByteSpan out) const {
  std::uint64_t position = 0;
  for (std::uint32_t i = 0; i < stream.chunk_count; ++i) {
    const std::size_t index = stream.first_chunk + i;
    const ChunkEntry& chunk = prefix_->chunks[index];
    INGOT_ASSIGN(const ByteSpan stored, payload_->Chunk(index));
    INGOT_TRY(DecodeChunk(chunk.coding, stored, out.subspan(position, chunk.decoded_bytes))
                  .At(fmt::format("chunk {}", index)));
    position += chunk.decoded_bytes;
  }
  return OkStatus();
}

Result<StreamBytes> ArtifactReader::ReadStream(const StreamRecord& stream) const {
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
      INGOT_TRY(payload_->Chunk(stream.first_chunk + i).status());
    return StreamBytes(payload_->region().bytes().subspan(first->offset, stream.bytes));
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

Result<std::string> ArtifactReader::ReadAsset(std::string_view name) const {
  for (const AssetRecord& asset : prefix_->manifest.assets) {
    if (asset.name != name) continue;
    INGOT_ASSIGN(const StreamBytes content,
                 ReadStream(asset.stream).At(fmt::format("asset {}", name)));
    return std::string(AsText(content.bytes()));
  }
  return NotFound(fmt::format("the artifact carries no file '{}'", name));
}

}  // namespace ingot::artifact
