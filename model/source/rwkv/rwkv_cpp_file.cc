#include "model/source/rwkv/rwkv_cpp_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ingot::model {
namespace {

constexpr std::uint64_t kHeaderBytes = 24;
constexpr std::uint64_t kEntryBytes = 12;
constexpr std::uint32_t kMaxDims = 4;
constexpr std::uint32_t kMaxNameBytes = 256;

std::uint32_t Word(ByteSpan file, std::uint64_t offset) {
  return LoadLe<std::uint32_t>(file.data() + offset);
}

Result<RwkvCppEntry> ParseEntry(ByteSpan file, std::uint64_t& offset) {
  const std::uint64_t left = file.size() - offset;
  if (left < kEntryBytes)
    return Corruption(
        fmt::format("{} bytes are left at {}, a tensor's head has {}", left, offset, kEntryBytes));
  const std::uint32_t dims = Word(file, offset), name_bytes = Word(file, offset + 4);
  const std::uint32_t type = Word(file, offset + 8);
  if (dims == 0 || dims > kMaxDims || name_bytes == 0 || name_bytes > kMaxNameBytes ||
      left - kEntryBytes < 4 * dims + name_bytes)
    return Corruption(fmt::format("at {}: a tensor of {} dimensions, its name of {} bytes", offset,
                                  dims, name_bytes));
  offset += kEntryBytes;
  RwkvCppEntry entry;
  std::uint64_t bytes = 1;
  for (std::uint32_t i = 0; i < dims; ++i, offset += 4) {
    const std::uint64_t size = Word(file, offset);
    entry.shape.insert(entry.shape.begin(), size);
    const auto product = CheckedMul(bytes, size);
    if (!product || size == 0 || *product > (std::uint64_t{1} << 60))
      return Corruption(fmt::format("at {}: a dimension of {}", offset, size));
    bytes = *product;
  }
  entry.name = std::string(AsText(file.subspan(offset, name_bytes)));
  offset += name_bytes;
  if (!std::all_of(entry.name.begin(), entry.name.end(), [](char c) { return c > ' ' && c < '~'; }))
    return Corruption(fmt::format("at {}: a name that is not ASCII", offset));
  if (type > 1)
    return Unsupported(
        fmt::format("tensor {} has data type {}; only FP32 (0) and FP16 (1) are "
                    "read, not rwkv.cpp's quantized files",
                    entry.name, type));
  entry.dtype = type == 0 ? DType::kF32 : DType::kF16;
  bytes *= DTypeBytes(entry.dtype);
  if (bytes > file.size() - offset)
    return Corruption(fmt::format("tensor {} needs {} bytes, {} are left", entry.name, bytes,
                                  file.size() - offset));
  entry.data = file.subspan(offset, bytes);
  offset += bytes;
  return entry;
}

}  // namespace

Result<std::vector<RwkvCppEntry>> ParseRwkvCppFile(ByteSpan file) {
  if (file.size() < kHeaderBytes || Word(file, 0) != kRwkvCppMagic)
    return Corruption("no header of rwkv.cpp");
  if (Word(file, 4) != 100 && Word(file, 4) != 101)
    return Unsupported(
        fmt::format("version {} of rwkv.cpp's files (known: 100, 101)", Word(file, 4)));
  std::vector<RwkvCppEntry> entries;
  for (std::uint64_t offset = kHeaderBytes; offset < file.size();) {
    INGOT_ASSIGN(RwkvCppEntry entry, ParseEntry(file, offset));
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace ingot::model
