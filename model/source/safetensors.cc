#include "model/source/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "untrusted/json_guard.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;
constexpr std::uint64_t kLengthBytes = 8;

Result<std::vector<std::uint64_t>> UnsignedList(const Json& entry, const char* key) {
  const auto it = entry.find(key);
  if (it == entry.end() || !it->is_array())
    return Corruption(fmt::format("'{}' is not a list of numbers", key));
  std::vector<std::uint64_t> values;
  values.reserve(it->size());
  for (const Json& value : *it) {
    if (!value.is_number_unsigned())
      return Corruption(fmt::format("'{}' holds something that is not a whole number >= 0", key));
    values.push_back(value.get<std::uint64_t>());
  }
  return values;
}

Result<std::uint64_t> BytesOfShape(const std::vector<std::uint64_t>& shape, std::uint64_t element) {
  std::uint64_t bytes = element;
  for (const std::uint64_t n : shape) {
    const auto product = CheckedMul(bytes, n);
    if (!product || *product >> 63)
      return Corruption(fmt::format("shape [{}] has more than 2^63 bytes", fmt::join(shape, ", ")));
    bytes = *product;
  }
  return bytes;
}

Result<SafetensorsEntry> ParseEntry(const std::string& name, const Json& value,
                                    std::uint64_t data_begin, std::uint64_t data_bytes) {
  if (!value.is_object()) return Corruption("its entry is not an object");
  SafetensorsEntry entry;
  entry.name = name;
  const auto dtype = value.find("dtype");
  if (dtype == value.end() || !dtype->is_string()) return Corruption("'dtype' is not a string");
  entry.dtype = dtype->get<std::string>();
  const std::uint64_t element = SafetensorsDtypeBytes(entry.dtype);
  if (element == 0) return Unsupported(fmt::format("unknown dtype '{}'", entry.dtype));
  INGOT_ASSIGN(entry.shape, UnsignedList(value, "shape"));
  INGOT_ASSIGN(const std::uint64_t expected, BytesOfShape(entry.shape, element));
  INGOT_ASSIGN(const std::vector<std::uint64_t> range, UnsignedList(value, "data_offsets"));
  if (range.size() != 2 || range[0] > range[1])
    return Corruption(fmt::format("data_offsets [{}] are not a range", fmt::join(range, ", ")));
  if (range[1] > data_bytes)
    return Corruption(fmt::format("ends at data byte {}, but the file has only {}: truncated?",
                                  range[1], data_bytes));
  if (range[1] - range[0] != expected)
    return Corruption(fmt::format("holds {} bytes, its shape [{}] of {} needs {}",
                                  range[1] - range[0], fmt::join(entry.shape, ", "), entry.dtype,
                                  expected));
  entry.offset = data_begin + range[0];
  entry.bytes = expected;
  return entry;
}

// The data area is covered exactly once.
Status CheckCover(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_begin,
                  std::uint64_t file_bytes) {
  std::vector<const SafetensorsEntry*> order;
  order.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
  });
  std::uint64_t position = data_begin;
  const SafetensorsEntry* before = nullptr;
  for (const SafetensorsEntry* entry : order) {
    if (entry->offset < position)
      return Corruption(fmt::format("tensors '{}' and '{}' overlap at data byte {}", before->name,
                                    entry->name, entry->offset - data_begin));
    if (entry->offset > position)
      return Corruption(fmt::format("{} bytes before tensor '{}' belong to no tensor",
                                    entry->offset - position, entry->name));
    position += entry->bytes;
    before = entry;
  }
  if (position != file_bytes)
    return Corruption(
        fmt::format("{} bytes at the end belong to no tensor", file_bytes - position));
  return OkStatus();
}

Result<Json> ParseHeader(ByteSpan file) {
  if (file.size() < kLengthBytes)
    return Corruption(fmt::format("{} bytes are too few for a safetensors file", file.size()));
  const auto header_bytes = LoadLe<std::uint64_t>(file.data());
  const std::uint64_t rest = file.size() - kLengthBytes;
  if (header_bytes > rest)
    return Corruption(
        fmt::format("header claims {} bytes, but only {} follow", header_bytes, rest));
  if (header_bytes > kMaxSafetensorsHeaderBytes)
    return Corruption(fmt::format("header of {} bytes, at most {} allowed", header_bytes,
                                  kMaxSafetensorsHeaderBytes));
  INGOT_ASSIGN(
      Json header,
      untrusted::ParseJson(AsText(file.subspan(kLengthBytes, header_bytes)), {}).At("header"));
  if (!header.is_object()) return Corruption("header is not a JSON object");
  return header;
}

}  // namespace

std::uint64_t SafetensorsDtypeBytes(std::string_view dtype) {
  static constexpr std::pair<std::string_view, std::uint64_t> kSizes[] = {
      {"F32", 4},     {"F16", 2},     {"BF16", 2}, {"F8_E4M3", 1}, {"I8", 1},  {"F64", 8},
      {"I64", 8},     {"I32", 4},     {"I16", 2},  {"U64", 8},     {"U32", 4}, {"U16", 2},
      {"F8_E5M2", 1}, {"F8_E8M0", 1}, {"U8", 1},   {"BOOL", 1},    {"C64", 8}};
  for (const auto& [name, bytes] : kSizes)
    if (name == dtype) return bytes;
  return 0;
}

Result<std::vector<SafetensorsEntry>> ParseSafetensors(ByteSpan file) {
  INGOT_ASSIGN(const Json header, ParseHeader(file));
  const std::uint64_t data_begin = kLengthBytes + LoadLe<std::uint64_t>(file.data());
  std::vector<SafetensorsEntry> entries;
  entries.reserve(header.size());
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") continue;
    INGOT_ASSIGN(SafetensorsEntry entry,
                 ParseEntry(name, value, data_begin, file.size() - data_begin)
                     .At(fmt::format("tensor '{}'", name)));
    entries.push_back(std::move(entry));
  }
  INGOT_TRY(CheckCover(entries, data_begin, file.size()));
  return entries;
}

Result<std::map<std::string, std::string>> SafetensorsMetadata(ByteSpan file) {
  std::map<std::string, std::string> metadata;
  INGOT_ASSIGN(const Json header, ParseHeader(file));
  const auto it = header.find("__metadata__");
  if (it == header.end() || !it->is_object()) return metadata;
  for (const auto& [name, value] : it->items())
    if (value.is_string()) metadata.emplace(name, value.get<std::string>());
  return metadata;
}

}  // namespace ingot::model
