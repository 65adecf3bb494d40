#include "artifact/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace ingot::artifact {
namespace {

// Field offsets in the header and in a table entry.
constexpr std::size_t kReservedOffset = 56;
constexpr std::size_t kEntryReservedOffset = 17;
constexpr std::size_t kEntryDigestOffset = 32;

// What a manifest may decode to, whatever its size; and per stored byte.
constexpr std::uint64_t kManifestAlways = std::uint64_t{16} << 20;
constexpr std::uint64_t kManifestPerStored = 64;

Status CheckMagic(ByteSpan bytes) {
  if (std::equal(kMagic.begin(), kMagic.end(), bytes.begin())) return OkStatus();
  if (std::equal(kMagic.begin() + 1, kMagic.begin() + 4, bytes.begin() + 1))
    return Corruption(
        "the magic number is damaged: the file went through a text-mode or 7-bit transfer; copy it "
        "again as binary");
  return Corruption("not an Ingot artifact: the magic number is missing");
}

Status CheckSizes(const Header& h, std::uint64_t available_bytes) {
  if (h.manifest_decoded_bytes == 0 || h.manifest_decoded_bytes > kMaxManifestBytes)
    return Corruption(fmt::format("header: manifest of {} bytes, 1 to {} allowed",
                                  h.manifest_decoded_bytes, kMaxManifestBytes));
  const std::uint64_t most =
      std::max(kManifestAlways, kManifestPerStored * h.manifest_stored_bytes);
  if (h.manifest_stored_bytes <= kMaxManifestBytes && h.manifest_decoded_bytes > most)
    return Corruption(fmt::format("header: manifest of {} bytes from {} stored, at most {} allowed",
                                  h.manifest_decoded_bytes, h.manifest_stored_bytes, most));
  if (h.manifest_stored_bytes == 0 || h.manifest_stored_bytes > kMaxManifestBytes)
    return Corruption(fmt::format("header: stored manifest of {} bytes, 1 to {} allowed",
                                  h.manifest_stored_bytes, kMaxManifestBytes));
  const std::uint64_t table = AlignUp(kManifestOffset + h.manifest_stored_bytes, kSmallAlignment);
  if (h.table_offset != table)
    return Corruption(fmt::format("header: chunk table at {}, the manifest puts it at {}",
                                  h.table_offset, table));
  const std::uint64_t data = table + std::uint64_t{h.chunk_count} * kEntryBytes;
  if (h.data_offset != data)
    return Corruption(fmt::format("header: data at {}, {} chunks put it at {}", h.data_offset,
                                  h.chunk_count, data));
  if (h.file_bytes < data)
    return Corruption(
        fmt::format("header: file of {} bytes, its prefix alone takes {}", h.file_bytes, data));
  if (h.chunk_count > h.file_bytes - data)
    return Corruption(
        fmt::format("header: {} chunks in {} bytes of data", h.chunk_count, h.file_bytes - data));
  if (available_bytes < data)
    return Corruption(
        fmt::format("the file ends inside its prefix, at {} of {} bytes", available_bytes, data));
  return OkStatus();
}

Result<ChunkEntry> ParseEntry(ByteSpan bytes) {
  ChunkEntry entry;
  entry.offset = LoadLe<std::uint64_t>(bytes.data());
  entry.stored_bytes = LoadLe<std::uint32_t>(bytes.data() + 8);
  entry.decoded_bytes = LoadLe<std::uint32_t>(bytes.data() + 12);
  const std::uint8_t coding = bytes[16];
  if (coding > static_cast<std::uint8_t>(ChunkCoding::kRans))
    return Corruption(fmt::format("unknown coding {}", coding));
  entry.coding = static_cast<ChunkCoding>(coding);
  if (!AllZero(bytes.subspan(kEntryReservedOffset, kEntryDigestOffset - kEntryReservedOffset)))
    return Corruption("reserved bytes are not zero");
  std::memcpy(entry.digest.data(), bytes.data() + kEntryDigestOffset, entry.digest.size());
  if (entry.decoded_bytes == 0 || entry.decoded_bytes > kMaxChunkBytes)
    return Corruption(
        fmt::format("{} decoded bytes, 1 to {} allowed", entry.decoded_bytes, kMaxChunkBytes));
  if (entry.stored_bytes == 0 || entry.stored_bytes > entry.decoded_bytes)
    return Corruption(
        fmt::format("{} stored bytes for {} decoded", entry.stored_bytes, entry.decoded_bytes));
  if (entry.coding == ChunkCoding::kRaw && entry.stored_bytes != entry.decoded_bytes)
    return Corruption(fmt::format("raw, but {} stored bytes for {} decoded", entry.stored_bytes,
                                  entry.decoded_bytes));
  return entry;
}

}  // namespace

Digest RootDigest(ByteSpan prefix) {
  Hasher hasher;
  hasher.Update(prefix.first(kHeaderBytes));
  hasher.Update(prefix.subspan(kManifestOffset));
  return hasher.Finish();
}

bool AllZero(ByteSpan bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; });
}

std::array<std::uint8_t, kHeaderBytes> EncodeHeader(const Header& header) {
  std::array<std::uint8_t, kHeaderBytes> out{};
  std::copy(kMagic.begin(), kMagic.end(), out.begin());
  StoreLe(out.data() + 8, header.major);
  StoreLe(out.data() + 10, header.minor);
  StoreLe(out.data() + 12, header.chunk_count);
  StoreLe(out.data() + 16, header.manifest_stored_bytes);
  StoreLe(out.data() + 24, header.manifest_decoded_bytes);
  StoreLe(out.data() + 32, header.table_offset);
  StoreLe(out.data() + 40, header.data_offset);
  StoreLe(out.data() + 48, header.file_bytes);
  return out;
}

Result<Header> ParseHeader(ByteSpan bytes, std::uint64_t available_bytes) {
  if (bytes.size() < kHeaderBytes)
    return Corruption(fmt::format("{} bytes are too few for an Ingot artifact", bytes.size()));
  INGOT_TRY(CheckMagic(bytes));
  Header header;
  header.major = LoadLe<std::uint16_t>(bytes.data() + 8);
  header.minor = LoadLe<std::uint16_t>(bytes.data() + 10);
  if (header.major != kMajor)
    return Unsupported(fmt::format("format version {}.{}, this build reads {}.x; use a newer ingot",
                                   header.major, header.minor, kMajor));
  header.chunk_count = LoadLe<std::uint32_t>(bytes.data() + 12);
  header.manifest_stored_bytes = LoadLe<std::uint64_t>(bytes.data() + 16);
  header.manifest_decoded_bytes = LoadLe<std::uint64_t>(bytes.data() + 24);
  header.table_offset = LoadLe<std::uint64_t>(bytes.data() + 32);
  header.data_offset = LoadLe<std::uint64_t>(bytes.data() + 40);
  header.file_bytes = LoadLe<std::uint64_t>(bytes.data() + 48);
  if (!AllZero(bytes.subspan(kReservedOffset, kHeaderBytes - kReservedOffset)))
    return Corruption("header: reserved bytes are not zero");
  INGOT_TRY(CheckSizes(header, available_bytes));
  return header;
}

void EncodeTable(const std::vector<ChunkEntry>& chunks, std::vector<std::uint8_t>& out) {
  const std::size_t begin = out.size();
  out.resize(begin + chunks.size() * kEntryBytes);
  std::uint8_t* p = out.data() + begin;
  for (const ChunkEntry& entry : chunks) {
    StoreLe(p, entry.offset);
    StoreLe(p + 8, entry.stored_bytes);
    StoreLe(p + 12, entry.decoded_bytes);
    p[16] = static_cast<std::uint8_t>(entry.coding);
    std::memcpy(p + kEntryDigestOffset, entry.digest.data(), entry.digest.size());
    p += kEntryBytes;
  }
}

Result<std::vector<ChunkEntry>> ParseTable(const Header& header, ByteSpan table) {
  if (table.size() / kEntryBytes != header.chunk_count || table.size() % kEntryBytes != 0)
    return Corruption(
        fmt::format("chunk table of {} bytes for {} chunks", table.size(), header.chunk_count));
  std::vector<ChunkEntry> chunks;
  chunks.reserve(header.chunk_count);
  std::uint64_t end = header.data_offset;
  for (std::size_t i = 0; i < header.chunk_count; ++i) {
    INGOT_ASSIGN(
        const ChunkEntry entry,
        ParseEntry(table.subspan(i * kEntryBytes, kEntryBytes)).At(fmt::format("chunk {}", i)));
    if (entry.offset > header.file_bytes || entry.stored_bytes > header.file_bytes - entry.offset)
      return Corruption(fmt::format("chunk {}: {} bytes at {} leave the file of {}", i,
                                    entry.stored_bytes, entry.offset, header.file_bytes));
    if (entry.offset < end)
      return Corruption(
          fmt::format("chunk {}: at {}, overlaps what ends at {}", i, entry.offset, end));
    if (entry.offset - end >= kMapAlignment)
      return Corruption(
          fmt::format("chunk {}: {} bytes before it belong to nothing", i, entry.offset - end));
    end = entry.offset + entry.stored_bytes;
    chunks.push_back(entry);
  }
  if (end != header.file_bytes)
    return Corruption(fmt::format("chunks end at {}, the file at {}", end, header.file_bytes));
  return chunks;
}

std::uint64_t StreamAlignment(std::uint64_t bytes, const ChunkEntry* first, std::uint32_t count) {
  if (bytes < kMapThreshold) return kSmallAlignment;
  const bool raw = std::all_of(first, first + count, [](const ChunkEntry& entry) {
    return entry.coding == ChunkCoding::kRaw;
  });
  return raw ? kMapAlignment : kSmallAlignment;
}

Status CheckLayout(const Header& header, const std::vector<ChunkEntry>& chunks,
                   const Manifest& manifest) {
  std::uint64_t end = header.data_offset;
  for (const StreamPlace& place : StreamsInFileOrder(manifest)) {
    const StreamRecord& stream = *place.stream;
    if (stream.chunk_count > chunks.size() ||
        stream.first_chunk > chunks.size() - stream.chunk_count)
      return Corruption(place.Describe() + ": chunks beyond the table");
    const ChunkEntry* first = chunks.data() + stream.first_chunk;
    std::uint64_t decoded = 0;
    for (std::uint32_t i = 0; i < stream.chunk_count; ++i) {
      if (i == 0) end = AlignUp(end, StreamAlignment(stream.bytes, first, stream.chunk_count));
      if (first[i].offset != end)
        return Corruption(fmt::format("{}: chunk {} at {}, its place is {}", place.Describe(),
                                      stream.first_chunk + i, first[i].offset, end));
      end += first[i].stored_bytes;
      decoded += first[i].decoded_bytes;
    }
    if (decoded != stream.bytes)
      return Corruption(
          fmt::format("{}: {} bytes, its chunks hold {}", place.Describe(), stream.bytes, decoded));
  }
  return OkStatus();
}

std::string StreamPlace::Describe() const {
  if (asset != nullptr) return "asset " + asset->name;
  return fmt::format("tensor {}, plane {} ({}), stream {}", tensor->name, plane,
                     tensor->planes[plane].kind, stream->name);
}

int LevelCount(const Manifest& manifest) {
  int count = 0;
  for (const TensorRecord& tensor : manifest.tensors)
    for (const PlaneRecord& plane : tensor.planes) count = std::max(count, plane.level + 1);
  return count;
}

std::vector<StreamPlace> StreamsInFileOrder(const Manifest& manifest) {
  std::vector<StreamPlace> order;
  for (const AssetRecord& asset : manifest.assets)
    order.push_back({&asset.stream, nullptr, &asset, 0, -1});
  for (const TensorRecord& tensor : manifest.tensors)
    for (std::size_t p = 0; p < tensor.planes.size(); ++p)
      for (const StreamRecord& stream : tensor.planes[p].streams)
        order.push_back({&stream, &tensor, nullptr, p, tensor.planes[p].level});
  std::stable_sort(order.begin(), order.end(),
                   [](const StreamPlace& a, const StreamPlace& b) { return a.level < b.level; });
  return order;
}

}  // namespace ingot::artifact
