#include "artifact/payload.h"

#include <fmt/format.h>

#include <utility>

#include "artifact/layout.h"

namespace ingot::artifact {
namespace {

std::string Contradiction(const ChunkEntry& chunk) {
  return fmt::format("{} bytes at {} contradict their digest", chunk.stored_bytes, chunk.offset);
}

Status CheckEnd(Source& source, const Header& header) {
  std::uint8_t byte;
  INGOT_ASSIGN(const std::size_t n, source.Fetch(header.file_bytes, {&byte, 1}));
  if (n == 0) return OkStatus();
  return Corruption(fmt::format("bytes after the end of the artifact at {}", header.file_bytes));
}

// Chunks up to the first of level 1.
std::size_t EndOfBase(const Prefix& prefix) {
  std::size_t end = 0;
  while (end < prefix.chunks.size() && prefix.places[prefix.chunk_place[end]].level <= 0) ++end;
  return end;
}

}  // namespace

Status ReadChunksInOrder(Source& source, const Prefix& prefix, const OpenOptions& options,
                         const Pass& pass, std::size_t begin, std::size_t end) {
  std::uint64_t position = prefix.header.data_offset;
  if (begin > 0) position = prefix.chunks[begin - 1].offset + prefix.chunks[begin - 1].stored_bytes;
  for (std::size_t i = begin; i < end; ++i) {
    const ChunkEntry& chunk = prefix.chunks[i];
    const std::size_t gap = chunk.offset - position;
    const std::size_t n = gap + chunk.stored_bytes;
    std::uint8_t* bytes = pass.room(position, n);
    INGOT_ASSIGN(const std::size_t got, source.Fetch(position, {bytes, n}));
    if (got < n) return prefix.CheckLength(position + got, options);
    const bool padded = AllZero({bytes, gap});
    const bool intact = DigestOf({bytes + gap, chunk.stored_bytes}) == chunk.digest;
    if (!padded)
      INGOT_TRY(pass.damage(
          i, fmt::format("padding before it, {} bytes at {}, is not zero", gap, position)));
    if (!intact) INGOT_TRY(pass.damage(i, Contradiction(chunk)));
    if (intact) pass.intact(i);
    position += n;
  }
  return end < prefix.chunks.size() ? OkStatus() : CheckEnd(source, prefix.header);
}

Payload::Payload(std::unique_ptr<Source> source, const Prefix& prefix, Region region,
                 const OpenOptions& options)
    : source_(std::move(source)),
      prefix_(prefix),
      options_(options),
      region_(std::move(region)),
      states_(prefix.chunks.size()) {}

Result<std::unique_ptr<Payload>> Payload::Open(std::unique_ptr<Source> source, const Prefix& prefix,
                                               const OpenOptions& options) {
  if (const auto size = source->Size()) INGOT_TRY(prefix.CheckLength(*size, options));
  INGOT_ASSIGN(std::optional<Region> mapped, source->Map());
  const bool in_place = mapped.has_value();
  if (!in_place) {
    INGOT_ASSIGN(Region reserved, Region::Reserve(prefix.header.file_bytes));
    mapped = std::move(reserved);
  }
  std::unique_ptr<Payload> payload(
      new Payload(std::move(source), prefix, *std::move(mapped), options));
  if (payload->source_->sequential())
    INGOT_TRY(payload->ReadInOrder(0, options.early ? EndOfBase(prefix) : prefix.chunks.size()));
  if (in_place)
    for (std::size_t i = 0; i < prefix.chunks.size(); ++i)
      if (payload->Available(i)) payload->Set(i, kHere);
  return payload;
}

Status Payload::ReadInOrder(std::size_t begin, std::size_t end) const {
  Pass pass;
  std::vector<std::uint8_t> dropped(options_.keep_piped ? 0 : kMaxChunkBytes + kMapAlignment);
  pass.room = [&](std::uint64_t offset, std::size_t) {
    return options_.keep_piped ? region_.writable().data() + offset : dropped.data();
  };
  pass.intact = [&](std::size_t chunk) {
    Set(chunk, options_.keep_piped ? kHere | kVerified : kPassed);
    read_ = chunk + 1;
  };
  pass.damage = [&](std::size_t chunk, std::string what) -> Status {
    return Corruption(prefix_.Describe(chunk) + ": " + what);
  };
  return ReadChunksInOrder(*source_, prefix_, options_, pass, begin, end);
}

Status Payload::ReadRest() const {
  // Level 0 was cut short: nothing follows.
  if (!source_->sequential() || read_ < EndOfBase(prefix_)) return OkStatus();
  return read_ < prefix_.chunks.size() ? ReadInOrder(read_, prefix_.chunks.size()) : OkStatus();
}

bool Payload::Available(std::size_t chunk) const {
  const ChunkEntry& entry = prefix_.chunks[chunk];
  return Is(chunk, kHere) || Is(chunk, kPassed) || source_->Has(entry.offset, entry.stored_bytes);
}

ByteSpan Payload::Bytes(std::size_t chunk) const {
  const ChunkEntry& entry = prefix_.chunks[chunk];
  return region_.bytes().subspan(entry.offset, entry.stored_bytes);
}

Result<ByteSpan> Payload::Chunk(std::size_t chunk) const {
  if (!Is(chunk, kVerified))
    INGOT_TRY(
        (Is(chunk, kHere) ? Verify(chunk) : FetchChunk(chunk)).At(fmt::format("chunk {}", chunk)));
  return Bytes(chunk);
}

Status Payload::Verify(std::size_t chunk) const {
  const ChunkEntry& entry = prefix_.chunks[chunk];
  std::call_once(reading_, [this] { region_.WillRead(); });
  region_.Populate(entry.offset, entry.stored_bytes);
  if (DigestOf(Bytes(chunk)) != entry.digest) return Corruption(Contradiction(entry));
  Set(chunk, kVerified);
  return OkStatus();
}

// Damaged bytes do not stay: the next call fetches again.
Status Payload::FetchChunk(std::size_t chunk) const {
  const std::lock_guard lock(fetching_[chunk % kFetches]);
  if (Is(chunk, kVerified)) return OkStatus();
  const ChunkEntry& entry = prefix_.chunks[chunk];
  if (Is(chunk, kPassed)) return Unsupported("its bytes came from a pipe and were not kept");
  if (!source_->Has(entry.offset, entry.stored_bytes))
    return Corruption(fmt::format("{} bytes at {} are not in this file, which was cut short",
                                  entry.stored_bytes, entry.offset));
  const MutableByteSpan room = region_.writable().subspan(entry.offset, entry.stored_bytes);
  INGOT_ASSIGN(const std::size_t n, source_->Fetch(entry.offset, room));
  if (n < room.size())
    return IoError(fmt::format("{} of {} bytes at {} came", n, room.size(), entry.offset));
  if (DigestOf(room) != entry.digest) return Corruption(Contradiction(entry));
  Set(chunk, kHere | kVerified);
  return OkStatus();
}

}  // namespace ingot::artifact
