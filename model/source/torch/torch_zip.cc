#include "model/source/torch/torch_zip.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace ingot::model {
namespace {

constexpr std::uint32_t kLocalMagic = 0x04034b50;
constexpr std::uint32_t kCentralMagic = 0x02014b50;
constexpr std::uint32_t kEndMagic = 0x06054b50;
constexpr std::uint32_t kEnd64Magic = 0x06064b50;
constexpr std::uint32_t kLocator64Magic = 0x07064b50;
constexpr std::uint64_t kLocalBytes = 30;
constexpr std::uint64_t kCentralBytes = 46;
constexpr std::uint64_t kEndBytes = 22;
constexpr std::uint64_t kEnd64Bytes = 56;
constexpr std::uint64_t kLocator64Bytes = 20;
constexpr std::uint64_t kMaxCommentBytes = 0xffff;
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint16_t kEncryptedFlags = 1u | 1u << 6 | 1u << 13;
constexpr std::uint16_t kDescriptorFlag = 1u << 3;
constexpr std::uint32_t kIn64 = 0xffffffff;  // "see the zip64 field"
constexpr std::uint16_t kIn64Short = 0xffff;

// Little-endian fields at fixed places. REQUIRES: the place lies within the span.
std::uint16_t U16(ByteSpan b, std::uint64_t at) { return LoadLe<std::uint16_t>(b.data() + at); }
std::uint32_t U32(ByteSpan b, std::uint64_t at) { return LoadLe<std::uint32_t>(b.data() + at); }
std::uint64_t U64(ByteSpan b, std::uint64_t at) { return LoadLe<std::uint64_t>(b.data() + at); }

// [at, at + bytes) of the file, or nullopt where it does not lie within.
std::optional<ByteSpan> Part(ByteSpan file, std::uint64_t at, std::uint64_t bytes) {
  if (at > file.size() || bytes > file.size() - at) return std::nullopt;
  return file.subspan(at, bytes);
}

struct Directory {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t records = 0;
  std::uint64_t end = 0;  // where the first end record starts
};

Result<std::uint64_t> FindEndRecord(ByteSpan file) {
  if (file.size() < kEndBytes)
    return Corruption(fmt::format("{} bytes are too few for a zip archive", file.size()));
  const std::uint64_t last = file.size() - kEndBytes;
  const std::uint64_t first = last - std::min(last, kMaxCommentBytes);
  for (std::uint64_t at = last + 1; at-- > first;)
    if (U32(file, at) == kEndMagic && U16(file, at + 20) == last - at) return at;
  return Corruption("a zip archive without its end record: truncated?");
}

Result<Directory> ReadDirectory64(ByteSpan file, std::uint64_t locator_at) {
  const std::uint64_t at = U64(file, locator_at + 8);
  if (U32(file, locator_at + 4) != 0 || U32(file, locator_at + 16) > 1)
    return Unsupported("a zip archive of several disks");
  const auto end = Part(file.first(locator_at), at, kEnd64Bytes);
  if (!end || U32(*end, 0) != kEnd64Magic)
    return Corruption(fmt::format("no zip64 end record at byte {}", at));
  if (U32(*end, 16) != 0 || U32(*end, 20) != 0 || U64(*end, 24) != U64(*end, 32))
    return Unsupported("a zip archive of several disks");
  return Directory{U64(*end, 48), U64(*end, 40), U64(*end, 32), at};
}

Result<Directory> ReadDirectory(ByteSpan file) {
  INGOT_ASSIGN(const std::uint64_t at, FindEndRecord(file));
  const ByteSpan end = file.subspan(at, kEndBytes);
  if (at >= kLocator64Bytes && U32(file, at - kLocator64Bytes) == kLocator64Magic)
    return ReadDirectory64(file, at - kLocator64Bytes);
  if (U16(end, 4) != 0 || U16(end, 6) != 0 || U16(end, 8) != U16(end, 10))
    return Unsupported("a zip archive of several disks");
  if (U16(end, 10) == kIn64Short || U32(end, 12) == kIn64 || U32(end, 16) == kIn64)
    return Corruption("the zip64 end record is missing");
  return Directory{U32(end, 16), U32(end, 12), U16(end, 10), at};
}

bool IsSafeName(std::string_view name) {
  if (name.empty() || name.front() == '/') return false;
  for (const char c : name)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\' || c == ':') return false;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part == "." || part == ".." || (part.empty() && end != name.size())) return false;
    begin = end + 1;
  }
  return true;
}

// One header of the central directory. `stored` is what the record takes in the file.
struct CentralHeader {
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint64_t stored = 0;
  std::uint64_t bytes = 0;
  std::uint64_t local = 0;
  std::uint32_t disk = 0;
  std::string_view name;
  std::uint64_t header_bytes = 0;
};

// Takes the 64-bit values, in their fixed order, for the fields that say so.
Status ReadZip64Extra(ByteSpan extra, CentralHeader& header) {
  if (header.bytes != kIn64 && header.stored != kIn64 && header.local != kIn64) return OkStatus();
  while (extra.size() >= 4) {
    const auto body = Part(extra, 4, U16(extra, 2));
    if (!body) break;
    if (U16(extra, 0) == kZip64Extra) {
      std::uint64_t at = 0;
      for (std::uint64_t* field : {&header.bytes, &header.stored, &header.local}) {
        if (*field != kIn64) continue;
        if (body->size() - at < 8) return Corruption("its zip64 field is too short");
        *field = U64(*body, at);
        at += 8;
      }
      return OkStatus();
    }
    extra = extra.subspan(4 + body->size());
  }
  return Corruption("its zip64 field is missing");
}

Result<CentralHeader> ReadCentralHeader(ByteSpan directory) {
  if (directory.size() < kCentralBytes || U32(directory, 0) != kCentralMagic)
    return Corruption("the central directory is damaged");
  CentralHeader header;
  header.flags = U16(directory, 8);
  header.method = U16(directory, 10);
  header.stored = U32(directory, 20);
  header.bytes = U32(directory, 24);
  header.disk = U16(directory, 34);
  header.local = U32(directory, 42);
  const std::uint64_t name_bytes = U16(directory, 28);
  const std::uint64_t extra_bytes = U16(directory, 30);
  header.header_bytes = kCentralBytes + name_bytes + extra_bytes + U16(directory, 32);
  if (header.header_bytes > directory.size())
    return Corruption("a header of the central directory reaches past its end");
  header.name = AsText(directory.subspan(kCentralBytes, name_bytes));
  if (!IsSafeName(header.name)) return Corruption("a record has a name that leaves the archive");
  INGOT_TRY(ReadZip64Extra(directory.subspan(kCentralBytes + name_bytes, extra_bytes), header)
                .At(fmt::format("record '{}'", header.name)));
  return header;
}

Status CheckStored(const CentralHeader& header) {
  if ((header.flags & kEncryptedFlags) != 0) return Unsupported("is encrypted");
  if (header.method != 0)
    return Unsupported(fmt::format("is compressed (method {}); torch.save stores", header.method));
  if (header.disk != 0) return Unsupported("lies on another disk of the archive");
  if (header.stored != header.bytes)
    return Corruption(
        fmt::format("is stored, but takes {} bytes for {}", header.stored, header.bytes));
  return OkStatus();
}

// Where the data starts, once the local header is found to say the same as the central one.
Result<std::uint64_t> DataOffset(ByteSpan file, const CentralHeader& header) {
  const auto local = Part(file, header.local, kLocalBytes);
  if (!local || U32(*local, 0) != kLocalMagic)
    return Corruption(fmt::format("no local header at byte {}", header.local));
  const std::uint64_t name_bytes = U16(*local, 26);
  const auto name = Part(file, header.local + kLocalBytes, name_bytes);
  if (!name || AsText(*name) != header.name || U16(*local, 8) != header.method ||
      (U16(*local, 6) & kEncryptedFlags) != 0)
    return Corruption("local and central header differ");
  const std::uint32_t claimed = U32(*local, 22);
  if (claimed != header.bytes && claimed != kIn64 &&
      (claimed != 0 || (U16(*local, 6) & kDescriptorFlag) == 0))
    return Corruption(fmt::format("has {} bytes in its local header, {} in the central directory",
                                  claimed, header.bytes));
  const std::uint64_t data = header.local + kLocalBytes + name_bytes + U16(*local, 28);
  if (data > file.size() || header.bytes > file.size() - data)
    return Corruption(fmt::format("{} bytes at byte {} reach past the records' end at byte {}",
                                  header.bytes, data, file.size()));
  return data;
}

struct Range {
  std::uint64_t begin = 0;  // of the local header
  std::uint64_t end = 0;
};

Status CheckOverlaps(std::vector<Range> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < ranges.size(); ++i)
    if (ranges[i].begin < ranges[i - 1].end)
      return Corruption(fmt::format("two records overlap at byte {}", ranges[i].begin));
  return OkStatus();
}

Status SortByName(std::vector<ZipRecord>& records) {
  std::sort(records.begin(), records.end(),
            [](const ZipRecord& a, const ZipRecord& b) { return a.name < b.name; });
  for (std::size_t i = 1; i < records.size(); ++i)
    if (records[i].name == records[i - 1].name)
      return Corruption(fmt::format("record '{}' is there twice", records[i].name));
  return OkStatus();
}

}  // namespace

bool LooksLikeZip(ByteSpan file) {
  return file.size() >= 4 && (U32(file, 0) == kLocalMagic || U32(file, 0) == kEndMagic);
}

Result<std::vector<ZipRecord>> ParseTorchZip(ByteSpan file) {
  INGOT_ASSIGN(const Directory directory, ReadDirectory(file));
  const auto part = Part(file.first(directory.end), directory.offset, directory.bytes);
  if (!part)
    return Corruption(fmt::format("central directory of {} bytes at byte {}, but it ends at {}",
                                  directory.bytes, directory.offset, directory.end));
  if (directory.records > directory.bytes / kCentralBytes)
    return Corruption(fmt::format("{} records do not fit a central directory of {} bytes",
                                  directory.records, directory.bytes));
  const ByteSpan data = file.first(directory.offset);
  ByteSpan rest = *part;
  std::vector<ZipRecord> records;
  std::vector<Range> ranges;
  records.reserve(directory.records);
  ranges.reserve(directory.records);
  for (std::uint64_t i = 0; i < directory.records; ++i) {
    INGOT_ASSIGN(const CentralHeader header, ReadCentralHeader(rest));
    rest = rest.subspan(header.header_bytes);
    const std::string where = fmt::format("record '{}'", header.name);
    INGOT_TRY(CheckStored(header).At(where));
    INGOT_ASSIGN(const std::uint64_t offset, DataOffset(data, header).At(where));
    ranges.push_back({header.local, offset + header.bytes});
    if (!header.name.ends_with('/'))
      records.push_back({std::string(header.name), offset, header.bytes});
  }
  if (!rest.empty())
    return Corruption(
        fmt::format("{} bytes after the last header of the central directory", rest.size()));
  INGOT_TRY(CheckOverlaps(std::move(ranges)));
  INGOT_TRY(SortByName(records));
  return records;
}

const ZipRecord* FindRecord(const std::vector<ZipRecord>& records, std::string_view name) {
  const auto it = std::lower_bound(
      records.begin(), records.end(), name,
      [](const ZipRecord& record, std::string_view key) { return record.name < key; });
  return it != records.end() && it->name == name ? &*it : nullptr;
}

}  // namespace ingot::model
