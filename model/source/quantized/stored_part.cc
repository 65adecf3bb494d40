#include "model/source/quantized/stored_part.h"

#include <fmt/format.h>

#include <utility>

#include "model/source/safetensors.h"

namespace ingot::model {

std::uint64_t StoredPart::elements() const {
  std::uint64_t n = 1;
  for (const std::uint64_t d : shape) n *= d;
  return n;
}

Status StoredPart::Read(std::uint64_t begin, MutableByteSpan out) const {
  if (begin > bytes || out.size() > bytes - begin)
    return Corruption(
        fmt::format("tensor '{}': bytes {} to {} of {}", name, begin, begin + out.size(), bytes));
  if (!strided) return file->ReadAt(offset + begin, out);
  const std::uint64_t element = SafetensorsDtypeBytes(dtype);
  INGOT_CHECK(element != 0 && begin % element == 0 && out.size() % element == 0);
  GatherStrided(mapped, *strided, begin / element, out);
  return OkStatus();
}

std::string DescribePart(const StoredPart& part) {
  return fmt::format("{} [{}]", part.dtype, fmt::join(part.shape, ", "));
}

void PartTable::Add(StoredPart part) {
  std::string name = part.name;
  parts_.emplace(std::move(name), std::move(part));
}

const StoredPart* PartTable::Find(std::string_view name) const {
  const auto it = parts_.find(name);
  return it == parts_.end() ? nullptr : &it->second;
}

const StoredPart* PartTable::Take(std::string_view name) {
  const StoredPart* part = Find(name);
  if (part != nullptr) taken_.emplace(name);
  return part;
}

Result<const StoredPart*> PartTable::Need(std::string_view name, const StoredPart& beside) {
  const StoredPart* part = Take(name);
  if (part == nullptr)
    return Corruption(
        fmt::format("tensor '{}' is missing, which '{}' is read with", name, beside.name));
  return part;
}

}  // namespace ingot::model
