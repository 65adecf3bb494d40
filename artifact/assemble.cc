#include "artifact/assemble.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "artifact/coding.h"
#include "artifact/layout.h"
#include "artifact/signature_area.h"
#include "base/digest.h"
#include "base/file.h"
#include "files/block_writer.h"

namespace ingot::artifact {
namespace {

constexpr int kManifestZstdLevel = 9;  // written once, read at every open

// Chunks in file order, and where the spool has them.
struct Layout {
  std::vector<ChunkEntry> chunks;
  std::vector<std::uint64_t> spool_offsets;
  std::vector<std::size_t> starts;  // index of each non-empty stream's first chunk
};

void Place(const std::vector<SpooledChunk>& pieces, StreamRecord& stream, Layout& layout) {
  stream.first_chunk = static_cast<std::uint32_t>(layout.chunks.size());
  stream.chunk_count = static_cast<std::uint32_t>(pieces.size());
  stream.bytes = 0;
  if (!pieces.empty()) layout.starts.push_back(layout.chunks.size());
  for (const SpooledChunk& piece : pieces) {
    layout.chunks.push_back(piece.entry);
    layout.spool_offsets.push_back(piece.spool_offset);
    stream.bytes += piece.entry.decoded_bytes;
  }
}

Layout PlaceAll(Manifest& manifest, const Pieces& pieces) {
  Layout layout;
  for (std::size_t i = 0; i < manifest.assets.size(); ++i)
    Place(pieces.assets[i], manifest.assets[i].stream, layout);
  const int levels = LevelCount(manifest);
  for (int level = 0; level < levels; ++level)
    for (std::size_t t = 0; t < manifest.tensors.size(); ++t)
      for (std::size_t p = 0; p < manifest.tensors[t].planes.size(); ++p) {
        PlaneRecord& plane = manifest.tensors[t].planes[p];
        if (plane.level != level) continue;
        for (std::size_t s = 0; s < plane.streams.size(); ++s)
          Place(pieces.streams[t][p][s], plane.streams[s], layout);
      }
  return layout;
}

// Gives every chunk its offset; the end of the file.
std::uint64_t AssignOffsets(std::uint64_t data_offset, Layout& layout) {
  std::uint64_t end = data_offset;
  for (std::size_t i = 0; i < layout.starts.size(); ++i) {
    const std::size_t begin = layout.starts[i];
    const std::size_t stop =
        i + 1 < layout.starts.size() ? layout.starts[i + 1] : layout.chunks.size();
    std::uint64_t bytes = 0;
    for (std::size_t c = begin; c < stop; ++c) bytes += layout.chunks[c].decoded_bytes;
    end = AlignUp(end, StreamAlignment(bytes, &layout.chunks[begin],
                                       static_cast<std::uint32_t>(stop - begin)));
    for (std::size_t c = begin; c < stop; ++c) {
      layout.chunks[c].offset = end;
      end += layout.chunks[c].stored_bytes;
    }
  }
  return end;
}

// Header, signature area, manifest, table; fills layout's offsets and `finished`.
Result<std::vector<std::uint8_t>> MakePrefix(const std::string& json, std::uint16_t minor,
                                             Layout& layout, const SigningKey* key,
                                             FinishedArtifact& finished) {
  const std::vector<std::uint8_t> stored = CompressZstd(AsBytes(json), kManifestZstdLevel);
  Header header;
  header.minor = minor;
  header.chunk_count = static_cast<std::uint32_t>(layout.chunks.size());
  header.manifest_stored_bytes = stored.size();
  header.manifest_decoded_bytes = json.size();
  header.table_offset = AlignUp(kManifestOffset + stored.size(), kSmallAlignment);
  header.data_offset = header.table_offset + layout.chunks.size() * kEntryBytes;
  header.file_bytes = AssignOffsets(header.data_offset, layout);
  std::vector<std::uint8_t> prefix(header.table_offset);
  const auto head = EncodeHeader(header);
  std::copy(head.begin(), head.end(), prefix.begin());
  std::copy(stored.begin(), stored.end(), prefix.begin() + kManifestOffset);
  EncodeTable(layout.chunks, prefix);
  const Digest root = RootDigest(prefix);
  finished.root_hex = HexOf(root);
  finished.file_bytes = header.file_bytes;
  std::vector<Signature> signatures;
  if (key != nullptr) {
    INGOT_ASSIGN(Signature signature, SignRoot(*key, root));
    signatures.push_back(std::move(signature));
  }
  INGOT_ASSIGN(const auto area, EncodeSignatureArea(signatures, root));
  std::copy(area.begin(), area.end(), prefix.begin() + kSignatureAreaOffset);
  return prefix;
}

Status WriteAll(ByteSpan prefix, const Spool& spool, const Layout& layout, File& file) {
  files::BlockWriter out(file);
  INGOT_TRY(out.Add(prefix));
  for (std::size_t i = 0; i < layout.chunks.size();) {
    std::uint64_t bytes = layout.chunks[i].stored_bytes;
    std::size_t next = i + 1;
    // A run that lies in one piece on both sides goes in one call.
    while (next < layout.chunks.size() &&
           layout.chunks[next].offset == layout.chunks[i].offset + bytes &&
           layout.spool_offsets[next] == layout.spool_offsets[i] + bytes)
      bytes += layout.chunks[next++].stored_bytes;
    INGOT_TRY(out.AddZeros(layout.chunks[i].offset));
    INGOT_TRY(out.AddFrom(spool.data(), layout.spool_offsets[i], bytes));
    i = next;
  }
  return out.Finish();
}

}  // namespace

Result<Assembled> AssembleArtifact(const std::string& target, const Spool& spool, Manifest manifest,
                                   const Pieces& pieces, const SigningKey* key,
                                   const std::function<void(Manifest&)>& patch) {
  Layout layout = PlaceAll(manifest, pieces);
  if (layout.chunks.size() > std::numeric_limits<std::uint32_t>::max())
    return LimitExceeded(fmt::format("{} chunks do not fit one artifact", layout.chunks.size()));
  if (patch) patch(manifest);
  const std::string json = SerializeManifest(manifest);
  // What no reader would take is not written: the reader's own parser says so.
  const auto parsed = ParseManifest(json, static_cast<std::uint32_t>(layout.chunks.size()));
  if (!parsed.ok()) return InvalidArgument("manifest: " + parsed.status().message());
  FinishedArtifact finished;
  INGOT_ASSIGN(const std::vector<std::uint8_t> prefix,
               MakePrefix(json, MinorVersion(manifest), layout, key, finished));
  INGOT_ASSIGN(files::AtomicFile file, files::AtomicFile::Create(target));
  INGOT_TRY(WriteAll(prefix, spool, layout, file.file()).At(target));
  return Assembled{std::move(finished), std::move(file)};
}

}  // namespace ingot::artifact
