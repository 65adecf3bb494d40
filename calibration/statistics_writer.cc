#include "calibration/statistics_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/file.h"
#include "calibration/content_digest.h"
#include "files/atomic_file.h"
#include "model/source/mapped_file.h"
#include "model/source/safetensors.h"
#include "untrusted/json_guard.h"

namespace ingot::calibration {
namespace {

constexpr std::uint64_t kCopyBytes = 4 << 20;
constexpr std::uint64_t kDataAlignment = 64;

// One tensor of the file to be: values in memory, or bytes of a part.
struct Source {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::uint64_t bytes = 0;
  std::span<const float> values;
  const File* file = nullptr;
  std::uint64_t offset = 0;
};

Result<Source> FromMemory(const StatisticsTensor& tensor) {
  std::uint64_t count = 1;
  for (const std::uint64_t n : tensor.shape) count *= n;
  if (count != tensor.values.size())
    return InvalidArgument(fmt::format("'{}' has {} values for a shape of {}", tensor.name,
                                       tensor.values.size(), fmt::join(tensor.shape, " x ")));
  const auto bad = std::find_if_not(tensor.values.begin(), tensor.values.end(),
                                    [](float v) { return std::isfinite(v); });
  if (bad != tensor.values.end())
    return InvalidArgument(
        fmt::format("'{}': value {} is {}", tensor.name, bad - tensor.values.begin(), *bad));
  Source source;
  source.name = tensor.name;
  source.shape = tensor.shape;
  source.bytes = tensor.values.size_bytes();
  source.values = tensor.values;
  return source;
}

std::string Header(const StatisticsMetadata& metadata, std::span<const Source> sources) {
  nlohmann::json header = nlohmann::json::object();
  header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const Source& source : sources) {
    header[source.name] = {{"dtype", "F32"},
                           {"shape", source.shape},
                           {"data_offsets", {offset, offset + source.bytes}}};
    offset += source.bytes;
  }
  std::string text = header.dump();
  text.resize(AlignUp(sizeof(std::uint64_t) + text.size(), kDataAlignment) - sizeof(std::uint64_t),
              ' ');
  return text;
}

// A source's bytes in blocks.
Status ForBlocks(const Source& source, ByteBuffer& buffer,
                 const std::function<Status(ByteSpan)>& take) {
  if (source.file == nullptr) return take(BytesOf(source.values));
  for (std::uint64_t done = 0; done < source.bytes; done += buffer.size()) {
    const auto block =
        buffer.span().first(std::min<std::uint64_t>(buffer.size(), source.bytes - done));
    INGOT_TRY(source.file->ReadAt(source.offset + done, block).At(source.name));
    INGOT_TRY(take(block));
  }
  return OkStatus();
}

Status Write(const std::string& path, const StatisticsMetadata& metadata,
             std::span<const Source> sources) {
  std::set<std::string_view> names;
  for (const Source& source : sources)
    if (!names.insert(source.name).second)
      return Corruption(fmt::format("statistics '{}' are there twice", source.name));
  ByteBuffer buffer(kCopyBytes);
  // The digest is of a header that has zeros in its place, and of what follows.
  StatisticsMetadata complete = metadata;
  complete[kContentDigest] = std::string(kNoDigest);
  std::string header = Header(complete, sources);
  Hasher hasher;
  hasher.Update(AsBytes(header));
  for (const Source& source : sources)
    INGOT_TRY(ForBlocks(source, buffer, [&](ByteSpan block) {
      hasher.Update(block);
      return OkStatus();
    }));
  header.replace(header.find(kNoDigest), kNoDigest.size(), HexOf(hasher.Finish()));
  INGOT_ASSIGN(files::AtomicFile out, files::AtomicFile::Create(path));
  const std::uint64_t header_bytes = header.size();
  INGOT_TRY(out.Append(BytesOf(std::span(&header_bytes, 1))));
  INGOT_TRY(out.Append(AsBytes(header)));
  for (const Source& source : sources)
    INGOT_TRY(ForBlocks(source, buffer, [&](ByteSpan block) { return out.Append(block); }));
  return out.Commit();
}

// The entries of a part, whose header alone is mapped and read.
Status AddPart(const std::string& path, const File& file,
               const std::function<bool(std::string_view)>& keep, std::vector<Source>& sources) {
  INGOT_ASSIGN(const model::MappedFile mapped, model::MappedFile::Open(path));
  INGOT_ASSIGN(const std::vector<model::SafetensorsEntry> entries,
               model::ParseSafetensors(mapped.bytes()));
  for (const model::SafetensorsEntry& entry : entries) {
    if (!keep(entry.name)) continue;
    Source source;
    source.name = entry.name;
    source.shape = entry.shape;
    source.bytes = entry.bytes;
    source.file = &file;
    source.offset = entry.offset;
    sources.push_back(std::move(source));
  }
  return OkStatus();
}

}  // namespace

Status WriteStatistics(const std::string& path, const StatisticsMetadata& metadata,
                       std::span<const StatisticsTensor> tensors) {
  return MergeStatistics(path, metadata, {}, nullptr, tensors);
}

Status MergeStatistics(const std::string& path, const StatisticsMetadata& metadata,
                       std::span<const std::string> parts,
                       const std::function<bool(std::string_view name)>& keep,
                       std::span<const StatisticsTensor> tensors) {
  std::vector<File> files;
  files.reserve(parts.size());
  std::vector<Source> sources;
  for (const std::string& part : parts) {
    INGOT_ASSIGN(File file, File::OpenRead(part));
    files.push_back(std::move(file));
    INGOT_TRY(AddPart(part, files.back(), keep, sources).At(part));
  }
  for (const StatisticsTensor& tensor : tensors) {
    INGOT_ASSIGN(Source source, FromMemory(tensor));
    sources.push_back(std::move(source));
  }
  std::stable_sort(sources.begin(), sources.end(),
                   [](const Source& a, const Source& b) { return a.name < b.name; });
  return Write(path, metadata, sources);
}

Result<StatisticsMetadata> ReadPartMetadata(const std::string& path) {
  INGOT_ASSIGN(const model::MappedFile mapped, model::MappedFile::Open(path));
  INGOT_TRY(model::ParseSafetensors(mapped.bytes()).At(path).status());
  const auto header_bytes = LoadLe<std::uint64_t>(mapped.bytes().data());
  INGOT_ASSIGN(
      const nlohmann::json header,
      untrusted::ParseJson(AsText(mapped.bytes().subspan(sizeof header_bytes, header_bytes)), {})
          .At(path));
  StatisticsMetadata metadata;
  // Named, for it must outlive the loop over it.
  const nlohmann::json entries = header.value("__metadata__", nlohmann::json::object());
  for (const auto& [key, value] : entries.items())
    if (value.is_string()) metadata[key] = value.get<std::string>();
  return metadata;
}

Result<std::vector<float>> ReadPartTensor(const std::string& path, std::string_view name) {
  INGOT_ASSIGN(const model::MappedFile mapped, model::MappedFile::Open(path));
  INGOT_ASSIGN(const std::vector<model::SafetensorsEntry> entries,
               model::ParseSafetensors(mapped.bytes()).At(path));
  for (const model::SafetensorsEntry& entry : entries) {
    if (entry.name != name) continue;
    std::vector<float> values(entry.bytes / sizeof(float));
    std::memcpy(values.data(), mapped.bytes().data() + entry.offset, entry.bytes);
    return values;
  }
  return NotFound(fmt::format("{}: no '{}'", path, name));
}

}  // namespace ingot::calibration
