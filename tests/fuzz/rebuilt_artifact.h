// An artifact taken apart and put together again with digests that are right, so that mutations
// reach what lies behind them: manifest values, plane records, the bytes of streams.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "artifact/coding.h"
#include "artifact/layout.h"
#include "artifact/manifest.h"
#include "artifact/signature_area.h"
#include "base/digest.h"
#include "base/random.h"
#include "untrusted/json_guard.h"

namespace ingot::artifact {

struct CraftedChunk {
  ChunkCoding coding = ChunkCoding::kRaw;
  std::vector<std::uint8_t> stored;
  std::uint32_t decoded_bytes = 0;
};
using CraftedStream = std::vector<CraftedChunk>;

// The manifest, whose streams name their bytes by a number under kStreamKey.
struct Crafted {
  static constexpr const char* kStreamKey = "#";
  Json manifest;
  std::vector<CraftedStream> streams;

  static std::optional<Crafted> TakeApart(ByteSpan file);
  std::vector<std::uint8_t> PutTogether(bool fix_numbers) const;
};

// Stream objects of whatever the manifest is by now, in file order.
inline std::vector<Json*> CraftedStreams(Json& manifest) {
  std::vector<std::pair<std::int64_t, Json*>> found;
  const auto add = [&](std::int64_t level, Json& list) {
    if (list.is_array())
      for (Json& stream : list)
        if (stream.is_object()) found.emplace_back(level, &stream);
  };
  const auto each = [](Json& object, const char* key, const auto& visit) {
    if (object.is_object() && object.contains(key) && object[key].is_array())
      for (Json& item : object[key]) visit(item);
  };
  if (manifest.is_object() && manifest.contains("assets")) add(-1, manifest["assets"]);
  each(manifest, "tensors", [&](Json& tensor) {
    each(tensor, "planes", [&](Json& plane) {
      if (!plane.is_object() || !plane.contains("streams")) return;
      const bool numbered = plane.contains("level") && plane["level"].is_number_integer();
      add(numbered ? plane["level"].get<std::int64_t>() : 0, plane["streams"]);
    });
  });
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Json*> streams;
  for (const auto& [level, stream] : found) streams.push_back(stream);
  return streams;
}

inline std::optional<Crafted> Crafted::TakeApart(ByteSpan file) {
  const auto header = ParseHeader(file, file.size());
  if (!header.ok() || header->manifest_decoded_bytes > (1 << 20)) return std::nullopt;
  std::vector<std::uint8_t> text(header->manifest_decoded_bytes);
  if (!DecompressZstd(file.subspan(kManifestOffset, header->manifest_stored_bytes), text).ok())
    return std::nullopt;
  const auto table = ParseTable(
      *header, file.subspan(header->table_offset, header->data_offset - header->table_offset));
  auto json = untrusted::ParseJson(AsText(text), untrusted::JsonLimits());
  if (!table.ok() || !json.ok() || file.size() < header->file_bytes) return std::nullopt;
  Crafted crafted{*std::move(json), {}};
  std::size_t next = 0;
  for (Json* stream : CraftedStreams(crafted.manifest)) {
    const bool counted =
        stream->contains("chunk_count") && (*stream)["chunk_count"].is_number_unsigned();
    std::uint64_t count = counted ? (*stream)["chunk_count"].get<std::uint64_t>() : 0;
    (*stream)[kStreamKey] = crafted.streams.size();
    CraftedStream& chunks = crafted.streams.emplace_back();
    for (; count > 0 && next < table->size(); --count, ++next) {
      const ChunkEntry& entry = (*table)[next];
      const ByteSpan stored = file.subspan(entry.offset, entry.stored_bytes);
      chunks.push_back({entry.coding, {stored.begin(), stored.end()}, entry.decoded_bytes});
    }
  }
  return crafted;
}

// `fix_numbers`: lengths and chunk numbers follow from the bytes, whatever the manifest says.
inline std::vector<std::uint8_t> Crafted::PutTogether(bool fix_numbers) const {
  Json said = manifest;
  std::vector<ChunkEntry> entries;
  std::vector<std::uint8_t> body;
  std::vector<std::pair<std::uint64_t, const CraftedStream*>> placed;  // decoded bytes, chunks
  for (Json* stream : CraftedStreams(said)) {
    const auto id = stream->find(kStreamKey);
    const bool has = id != stream->end() && id->is_number_unsigned();
    const CraftedStream none;
    const CraftedStream* chunks = has ? &streams[id->get<std::size_t>() % streams.size()] : nullptr;
    if (has) stream->erase(kStreamKey);
    std::uint64_t bytes = 0;
    for (const CraftedChunk& chunk : chunks != nullptr ? *chunks : none)
      bytes += chunk.decoded_bytes;
    if (fix_numbers && chunks != nullptr) {
      (*stream)["bytes"] = bytes;
      (*stream)["chunk_count"] = chunks->size();
      (*stream)["first_chunk"] = entries.size();
    }
    if (chunks == nullptr) continue;
    for (const CraftedChunk& chunk : *chunks) {
      ChunkEntry entry;
      entry.coding = chunk.coding;
      entry.stored_bytes = static_cast<std::uint32_t>(chunk.stored.size());
      entry.decoded_bytes = chunk.decoded_bytes;
      entry.digest = DigestOf(chunk.stored);
      entries.push_back(entry);
    }
    placed.emplace_back(bytes, chunks);
  }
  const std::string text = said.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::vector<std::uint8_t> stored = CompressZstd(AsBytes(text), 1);
  Header header;
  header.major = 1;
  header.minor = 1;
  header.chunk_count = static_cast<std::uint32_t>(entries.size());
  header.manifest_stored_bytes = stored.size();
  header.manifest_decoded_bytes = text.size();
  header.table_offset = AlignUp(kManifestOffset + stored.size(), kSmallAlignment);
  header.data_offset = header.table_offset + entries.size() * kEntryBytes;
  std::uint64_t end = header.data_offset;
  std::size_t at = 0;
  for (const auto& [bytes, chunks] : placed) {
    const ChunkEntry* first = entries.data() + at;
    const auto count = static_cast<std::uint32_t>(chunks->size());
    const std::uint64_t begin =
        count == 0 ? end : AlignUp(end, StreamAlignment(bytes, first, count));
    body.resize(body.size() + begin - end);
    end = begin;
    for (const CraftedChunk& chunk : *chunks) {
      entries[at++].offset = end;
      body.insert(body.end(), chunk.stored.begin(), chunk.stored.end());
      end += chunk.stored.size();
    }
  }
  header.file_bytes = end;
  const auto head = EncodeHeader(header);
  std::vector<std::uint8_t> file(header.table_offset);
  std::copy(head.begin(), head.end(), file.begin());
  std::copy(stored.begin(), stored.end(), file.begin() + kManifestOffset);
  EncodeTable(entries, file);
  const auto area = EncodeSignatureArea({}, RootDigest(file));
  if (area.ok()) std::copy(area->begin(), area->end(), file.begin() + kSignatureAreaOffset);
  file.insert(file.end(), body.begin(), body.end());
  return file;
}

}  // namespace ingot::artifact
