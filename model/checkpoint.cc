#include "model/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "model/checkpoint_sources.h"
#include "model/torch_file.h"

namespace ingot::model {

std::uint64_t TensorInfo::elements() const {
  std::uint64_t n = 1;
  for (const std::uint64_t d : shape) n *= d;
  return n;
}

std::uint64_t TensorInfo::rows() const { return shape.size() < 2 ? 1 : shape[0]; }

std::uint64_t TensorInfo::cols() const {
  const std::size_t first = shape.size() < 2 ? 0 : 1;
  std::uint64_t n = 1;
  for (std::size_t i = first; i < shape.size(); ++i) n *= shape[i];
  return n;
}

const TensorInfo* Checkpoint::Find(std::string_view name) const {
  const std::span<const TensorInfo> all = tensors();
  const auto it = std::lower_bound(
      all.begin(), all.end(), name,
      [](const TensorInfo& tensor, std::string_view key) { return tensor.name < key; });
  return it != all.end() && it->name == name ? &*it : nullptr;
}

Result<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status))
    return NotFound(fmt::format("{}: no such file or directory", path));
  if (std::filesystem::is_directory(status)) return OpenHfCheckpoint(path);
  if (HasTorchExtension(path)) return OpenTorchCheckpoint(path);
  return OpenGgufCheckpoint(path);
}

}  // namespace ingot::model
