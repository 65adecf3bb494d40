// Typed access to the fields of a tokenizer's JSON objects, with errors that name the field.
// Thread rule: functions without state.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ingot::model {

// nullptr where `object` is no object or the key is absent or null.
inline const nlohmann::json* FindField(const nlohmann::json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

inline Result<std::string> StringField(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json* field = FindField(object, key);
  if (field == nullptr || !field->is_string()) {
    return Corruption("\"" + std::string(key) + "\" is missing or not a string");
  }
  return field->get_ref<const std::string&>();
}

inline Result<bool> BoolField(const nlohmann::json& object, std::string_view key,
                              std::optional<bool> otherwise = std::nullopt) {
  const nlohmann::json* field = FindField(object, key);
  if (field == nullptr && otherwise) return *otherwise;
  if (field == nullptr || !field->is_boolean()) {
    return Corruption("\"" + std::string(key) + "\" is missing or not true or false");
  }
  return field->get<bool>();
}

// A count or id; at most `limit`.
inline Result<std::uint64_t> UnsignedField(const nlohmann::json& object, std::string_view key,
                                           std::uint64_t limit) {
  const nlohmann::json* field = FindField(object, key);
  if (field == nullptr || !field->is_number_unsigned() || field->get<std::uint64_t>() > limit) {
    return Corruption("\"" + std::string(key) + "\" is missing or not a number from 0 to " +
                      std::to_string(limit));
  }
  return field->get<std::uint64_t>();
}

inline Result<const nlohmann::json*> ArrayField(const nlohmann::json& object, std::string_view key,
                                                std::size_t limit) {
  const nlohmann::json* field = FindField(object, key);
  if (field == nullptr || !field->is_array()) {
    return Corruption("\"" + std::string(key) + "\" is missing or not a list");
  }
  if (field->size() > limit) {
    return LimitExceeded("\"" + std::string(key) + "\" has " + std::to_string(field->size()) +
                         " entries, at most " + std::to_string(limit));
  }
  return field;
}

}  // namespace ingot::model
