#include "artifact/prefix.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "artifact/coding.h"
#include "artifact/signature_area.h"

namespace ingot::artifact {
namespace {

constexpr std::uint64_t kStepBytes = 1 << 20;

// Which stream each chunk belongs to. REQUIRES: CheckCover passed.
void IndexChunks(Prefix& prefix) {
  prefix.places = StreamsInFileOrder(prefix.manifest);
  prefix.chunk_place.reserve(prefix.chunks.size());
  for (std::size_t i = 0; i < prefix.places.size(); ++i)
    prefix.chunk_place.insert(prefix.chunk_place.end(), prefix.places[i].stream->chunk_count,
                              static_cast<std::uint32_t>(i));
}

}  // namespace

std::string Prefix::Describe(std::size_t chunk) const {
  const StreamPlace& place = places[chunk_place[chunk]];
  return fmt::format("{}, chunk {}", place.Describe(), chunk);
}

std::uint64_t Prefix::LevelEnd(int level) const {
  std::uint64_t end = header.data_offset;
  for (std::size_t i = 0; i < chunks.size() && places[chunk_place[i]].level <= level; ++i)
    end = chunks[i].offset + chunks[i].stored_bytes;
  return end;
}

int Prefix::CompleteLevel(std::uint64_t bytes) const {
  int complete = -1;
  for (int level = 0; level < level_count && LevelEnd(level) <= bytes; ++level) complete = level;
  return complete;
}

Status Prefix::CheckLength(std::uint64_t available, const OpenOptions& options) const {
  if (available > header.file_bytes)
    return Corruption(fmt::format("{} bytes after the end of the artifact at {}",
                                  available - header.file_bytes, header.file_bytes));
  const int level = CompleteLevel(available);
  const bool at_border = level >= 0 && LevelEnd(level) == available;
  if (available == header.file_bytes ||
      (options.allow_truncated && (at_border || !options.whole_levels)))
    return OkStatus();
  std::size_t stop = 0;
  while (chunks[stop].offset + chunks[stop].stored_bytes <= available) ++stop;
  const std::string usable =
      level < 0 ? std::string("no level is complete")
                : fmt::format("levels 0 to {} of {} are complete", level, level_count);
  return Corruption(fmt::format("truncated: {} of {} bytes; stops in {} (level {}); {}", available,
                                header.file_bytes, Describe(stop),
                                std::max(places[chunk_place[stop]].level, 0), usable));
}

Result<std::unique_ptr<Prefix>> ParsePrefix(const Header& header, ByteSpan bytes,
                                            const OpenOptions& options) {
  INGOT_CHECK(bytes.size() == header.data_offset);
  auto prefix = std::make_unique<Prefix>();
  prefix->header = header;
  prefix->root = RootDigest(bytes);
  INGOT_ASSIGN(
      prefix->signatures,
      ParseSignatureArea(bytes.subspan(kSignatureAreaOffset, kSignatureAreaBytes), prefix->root));
  INGOT_TRY(CheckSignatures(prefix->signatures, prefix->root, options.key));
  const std::uint64_t manifest_end = kManifestOffset + header.manifest_stored_bytes;
  if (!AllZero(bytes.subspan(manifest_end, header.table_offset - manifest_end)))
    return Corruption("padding after the manifest is not zero");
  INGOT_ASSIGN(prefix->chunks, ParseTable(header, bytes.subspan(header.table_offset)));
  const ByteSpan stored = bytes.subspan(kManifestOffset, header.manifest_stored_bytes);
  ByteBuffer text(header.manifest_decoded_bytes);
  INGOT_TRY(DecompressZstd(stored, {text.data(), text.size()}).At("manifest"));
  INGOT_ASSIGN(prefix->manifest,
               ParseManifest(AsText(text.span()), header.chunk_count).At("manifest"));
  INGOT_TRY(CheckLayout(header, prefix->chunks, prefix->manifest));
  if (!prefix->manifest.base_root.empty() && !options.allow_delta)
    return Unsupported(fmt::format("is a delta over the artifact of root {}: no model without it",
                                   prefix->manifest.base_root));
  prefix->level_count = LevelCount(prefix->manifest);
  IndexChunks(*prefix);
  return prefix;
}

Result<std::unique_ptr<Prefix>> ReadPrefix(Source& source, const OpenOptions& options) {
  const std::optional<std::uint64_t> size = source.Size();
  std::vector<std::uint8_t> bytes(kHeaderBytes);
  INGOT_ASSIGN(const std::size_t head, source.Fetch(0, bytes));
  INGOT_ASSIGN(
      const Header header,
      ParseHeader({bytes.data(), head}, size.value_or(std::numeric_limits<std::uint64_t>::max())));
  // ParseHeader: the prefix is no longer than a source whose length is known.
  const std::uint64_t most = size ? header.data_offset : kStepBytes;
  while (bytes.size() < header.data_offset) {
    const std::size_t begin = bytes.size();
    const std::size_t step = std::min(most, header.data_offset - begin);
    bytes.resize(begin + step);
    INGOT_ASSIGN(const std::size_t n, source.Fetch(begin, {bytes.data() + begin, step}));
    if (n < step)
      return Corruption(fmt::format("it ends inside its prefix, at {} of {} bytes", begin + n,
                                    header.data_offset));
  }
  return ParsePrefix(header, bytes, options);
}

Result<std::unique_ptr<Prefix>> ReadPrefix(const File& file, std::uint64_t file_bytes,
                                           const OpenOptions& options) {
  const int fd = ::dup(file.fd());
  if (fd < 0) return IoError(fmt::format("cannot read the prefix: {}", std::strerror(errno)));
  INGOT_ASSIGN(const std::unique_ptr<Source> source, FileSource(File(fd)));
  if (source->Size() != file_bytes) return IoError("the file changed while it was opened");
  return ReadPrefix(*source, options);
}

}  // namespace ingot::artifact
