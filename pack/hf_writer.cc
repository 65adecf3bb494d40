#include "pack/hf_writer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

namespace ingot::pack {
namespace {

std::string_view SafetensorsName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBf16:
      return "BF16";
    case DType::kF8E4m3:
      return "F8_E4M3";
    case DType::kI8:
      return "I8";
  }
  return "?";
}

}  // namespace

Result<SafetensorsWriter> SafetensorsWriter::Create(const std::string& path,
                                                    const std::vector<OutputTensor>& tensors) {
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
  std::uint64_t offset = 0;
  for (const OutputTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", SafetensorsName(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + tensor.bytes}}};
    offset += tensor.bytes;
  }
  std::string text = header.dump();
  text.resize(AlignUp(text.size(), 8), ' ');  // tensors start at a multiple of 8
  INGOT_ASSIGN(files::AtomicFile file, files::AtomicFile::Create(path));
  std::uint8_t length[8];
  StoreLe<std::uint64_t>(length, text.size());
  INGOT_TRY(file.Append(length));
  INGOT_TRY(file.Append(AsBytes(text)));
  const std::uint64_t end = file.position() + offset;
  return SafetensorsWriter(std::move(file), end);
}

Status SafetensorsWriter::Commit() {
  INGOT_CHECK(file_.position() == end_);
  return file_.Commit();
}

std::vector<std::vector<OutputTensor>> CutShards(const std::vector<OutputTensor>& tensors,
                                                 std::uint64_t shard_bytes) {
  std::vector<std::vector<OutputTensor>> shards(1);
  std::uint64_t used = 0;
  for (const OutputTensor& tensor : tensors) {
    if (!shards.back().empty() && tensor.bytes > shard_bytes - std::min(used, shard_bytes)) {
      shards.emplace_back();
      used = 0;
    }
    used += tensor.bytes;
    shards.back().push_back(tensor);
  }
  return shards;
}

std::string ShardName(std::size_t index, std::size_t count) {
  if (count == 1) return "model.safetensors";
  return fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

}  // namespace ingot::pack
