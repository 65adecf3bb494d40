#include "artifact/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include "artifact/coding.h"
#include "artifact/payload.h"
#include "artifact/prefix.h"
#include "base/parallel.h"

namespace ingot::artifact {

namespace {

// Calls `read(i)` for chunks 0 to count - 1 of a stream, several threads at once; the first one's
// error.
Status ReadChunks(std::size_t count, const std::function<Status(std::size_t i)>& read) {
  std::vector<Status> results(count);
  ParallelFor(count, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) results[i] = read(i);
  });
  for (Status& result : results) INGOT_TRY(std::move(result));
  return OkStatus();
}

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

Status ArtifactReader::ReadRest() const {
  INGOT_TRY(payload_->ReadRest());
  complete_level_.store(CompleteLevel(*prefix_, *payload_), std::memory_order_release);
  return OkStatus();
}

void ArtifactReader::StopReading() const { payload_->source().Stop(); }

std::uint64_t ArtifactReader::level_end(int level) const { return prefix_->LevelEnd(level); }

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
  std::vector<std::uint64_t> places(stream.chunk_count);
  for (std::uint32_t i = 1; i < stream.chunk_count; ++i)
    places[i] = places[i - 1] + prefix_->chunks[stream.first_chunk + i - 1].decoded_bytes;
  return ReadChunks(stream.chunk_count, [&](std::size_t i) -> Status {
    const std::size_t index = stream.first_chunk + i;
    const ChunkEntry& chunk = prefix_->chunks[index];
    INGOT_ASSIGN(const ByteSpan stored, payload_->Chunk(index));
    return DecodeChunk(chunk.coding, stored, out.subspan(places[i], chunk.decoded_bytes))
        .At(fmt::format("chunk {}", index));
  });
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
    INGOT_TRY(ReadChunks(stream.chunk_count, [&](std::size_t i) {
      return payload_->Chunk(stream.first_chunk + i).status();
    }));
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
