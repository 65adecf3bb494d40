#include "model/source/gguf/gguf_keys.h"

#include <fmt/format.h>

#include <cmath>

namespace ingot::model {

void GgufKeys::Fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void GgufKeys::WrongType(std::string_view key, std::string_view expected) {
  Fail(Corruption(fmt::format("metadata key '{}{}' is not {}",
                              key.starts_with('.') ? architecture_ : "", key, expected)));
}

const GgufValue* GgufKeys::Find(std::string_view key) const {
  if (!key.starts_with('.')) return gguf_->Find(key);
  return gguf_->Find(architecture_ + std::string(key));
}

std::optional<std::uint64_t> GgufKeys::Count(std::string_view key) {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const auto first = value->is_numeric() && value->count > 0 ? value->Unsigned() : std::nullopt;
  if (!first) {
    WrongType(key, "a whole number");
    return std::nullopt;
  }
  for (std::uint64_t i = 1; i < value->count; ++i) {
    if (value->Unsigned(i) == first) continue;
    Fail(Unsupported(fmt::format("metadata key '{}{}' differs between layers",
                                 key.starts_with('.') ? architecture_ : "", key)));
    return std::nullopt;
  }
  return first;
}

std::optional<std::vector<std::uint64_t>> GgufKeys::Counts(std::string_view key,
                                                           std::uint64_t layers) {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const bool one = !value->is_array();
  if (!value->is_numeric() || (!one && value->count != layers)) {
    WrongType(key, fmt::format("a whole number for each of {} layers", layers));
    return std::nullopt;
  }
  std::vector<std::uint64_t> counts;
  for (std::uint64_t i = 0; i < layers; ++i) {
    const auto count = value->Unsigned(one ? 0 : i);
    if (!count) {
      WrongType(key, "of whole numbers");
      return std::nullopt;
    }
    counts.push_back(*count);
  }
  return counts;
}

std::optional<double> GgufKeys::Number(std::string_view key) {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_numeric() && !value->is_array() && std::isfinite(value->Number()))
    return value->Number();
  WrongType(key, "a number");
  return std::nullopt;
}

std::optional<std::string> GgufKeys::Text(std::string_view key) {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type == GgufValueType::kString) return std::string(value->text);
  WrongType(key, "a string");
  return std::nullopt;
}

std::optional<bool> GgufKeys::Flag(std::string_view key) {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type == GgufValueType::kBool) return value->Unsigned() != std::uint64_t{0};
  WrongType(key, "true or false");
  return std::nullopt;
}

const GgufValue* GgufKeys::Texts(std::string_view key) {
  const GgufValue* value = Find(key);
  if (value == nullptr) return nullptr;
  if (value->is_array() && value->element == GgufValueType::kString) return value;
  WrongType(key, "a list of strings");
  return nullptr;
}

const GgufValue* GgufKeys::Numbers(std::string_view key) {
  const GgufValue* value = Find(key);
  if (value == nullptr) return nullptr;
  if (value->is_array() && value->is_numeric()) return value;
  WrongType(key, "a list of numbers");
  return nullptr;
}

}  // namespace ingot::model
