// Reading an artifact in one sequential pass, from a pipe or anything else that cannot seek.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "artifact/artifact_view.h"
#include "artifact/layout.h"
#include "artifact/prefix.h"

namespace ingot::artifact {
namespace {

constexpr int kPipeBytes = 1 << 20;

// What a pass does with the bytes: where to put the next n, and what to make of damage.
struct Sink {
  std::function<std::uint8_t*(std::uint64_t offset, std::size_t n)> room;
  std::function<Status(std::size_t chunk, std::string what)> damage;
};

Status DrainEnd(int fd, const Header& header) {
  std::uint8_t byte;
  INGOT_ASSIGN(const std::size_t n, ReadFully(fd, {&byte, 1}));
  if (n == 0) return OkStatus();
  return Corruption(fmt::format("bytes after the end of the artifact at {}", header.file_bytes));
}

// Reads the payload chunk by chunk, padding included. Returns how many bytes of the file came, all
// of it unless it was cut and the options allow that.
Result<std::uint64_t> ReadPayload(int fd, const Prefix& prefix, const OpenOptions& options,
                                  const Sink& sink) {
  std::uint64_t position = prefix.header.data_offset;
  for (std::size_t i = 0; i < prefix.chunks.size(); ++i) {
    const ChunkEntry& chunk = prefix.chunks[i];
    const std::size_t gap = chunk.offset - position;
    const std::size_t n = gap + chunk.stored_bytes;
    std::uint8_t* bytes = sink.room(position, n);
    INGOT_ASSIGN(const std::size_t got, ReadFully(fd, {bytes, n}));
    if (got < n) {
      INGOT_TRY(prefix.CheckLength(position + got, options));
      return position + got;
    }
    if (!AllZero({bytes, gap}))
      INGOT_TRY(sink.damage(
          i, fmt::format("padding before it, {} bytes at {}, is not zero", gap, position)));
    if (DigestOf({bytes + gap, chunk.stored_bytes}) != chunk.digest)
      INGOT_TRY(sink.damage(i, fmt::format("{} bytes at {} contradict their digest",
                                           chunk.stored_bytes, chunk.offset)));
    position += n;
  }
  INGOT_TRY(DrainEnd(fd, prefix.header));
  return position;
}

void GrowPipe(int fd) {
#ifdef F_SETPIPE_SZ
  ::fcntl(fd, F_SETPIPE_SZ, kPipeBytes);  // a hint: fewer switches between writer and reader
#endif
}

}  // namespace

Result<std::unique_ptr<ArtifactReader>> ArtifactReader::OpenPipe(int fd,
                                                                 const OpenOptions& options) {
  GrowPipe(fd);
  std::vector<std::uint8_t> raw;
  INGOT_ASSIGN(auto prefix, ReadPrefix(fd, options, raw));
  INGOT_ASSIGN(Region region, Region::Reserve(prefix->header.file_bytes));
  Sink sink;
  sink.room = [&](std::uint64_t offset, std::size_t) { return region.writable().data() + offset; };
  sink.damage = [&](std::size_t chunk, std::string what) -> Status {
    return Corruption(prefix->Describe(chunk) + ": " + what);
  };
  INGOT_ASSIGN(const std::uint64_t got, ReadPayload(fd, *prefix, options, sink));
  return std::unique_ptr<ArtifactReader>(std::make_unique<ArtifactView>(
      std::move(prefix), std::move(region), File(), got, /*verified=*/true));
}

Result<std::vector<ArtifactReader::Damage>> VerifyPipe(int fd, const OpenOptions& options) {
  GrowPipe(fd);
  std::vector<std::uint8_t> raw;
  INGOT_ASSIGN(const auto prefix, ReadPrefix(fd, options, raw));
  std::vector<std::uint8_t>().swap(raw);
  std::vector<std::uint8_t> buffer(kMaxChunkBytes + kMapAlignment);
  std::vector<ArtifactReader::Damage> found;
  Sink sink;
  sink.room = [&](std::uint64_t, std::size_t) { return buffer.data(); };
  sink.damage = [&](std::size_t chunk, std::string what) -> Status {
    found.push_back({prefix->Describe(chunk), std::move(what)});
    return OkStatus();
  };
  INGOT_TRY(ReadPayload(fd, *prefix, options, sink).status());
  return found;
}

}  // namespace ingot::artifact
