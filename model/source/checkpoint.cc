#include "model/source/checkpoint.h"

#include <algorithm>

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

Result<CodedRows> Checkpoint::ReadCoded(const TensorInfo& tensor, std::uint64_t,
                                        std::uint64_t) const {
  return Unsupported("tensor '" + tensor.name + "' is not held in integer codes");
}

}  // namespace ingot::model
