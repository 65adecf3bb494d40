#include "model/architecture/config_reader.h"

#include <fmt/format.h>

#include <cmath>

#include "untrusted/json_guard.h"

namespace ingot::model {
namespace {

std::string ShownValue(const nlohmann::json& value) {
  if (const auto number = untrusted::NonFiniteOf(value)) return std::string(*number);
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > 40) text = text.substr(0, 40) + "...";
  return text;
}

}  // namespace

const ConfigReader::Json* ConfigReader::Find(const char* key) const {
  heard_.insert(key);
  const auto it = object_->find(key);
  return it == object_->end() || it->is_null() ? nullptr : &*it;
}

std::vector<std::string> ConfigReader::Unheard() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object_->items())
    if (!value.is_null() && !heard_.contains(key)) keys.push_back(key);
  return keys;
}

std::string ConfigReader::Shown(const char* key) const {
  const Json* value = Find(key);
  return value == nullptr ? "null" : ShownValue(*value);
}

void ConfigReader::Demand(const char* key, bool value, const std::string& why) {
  if (Flag(key, value) == value) return;
  Fail(Unsupported(fmt::format("{}: '{}' is {}: {}", where_, key, !value, why)));
}

void ConfigReader::Fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void ConfigReader::Fail(const std::string& why) { Fail(InvalidArgument(where_ + ": " + why)); }

std::uint64_t ConfigReader::Count(const char* key, std::uint64_t min, std::uint64_t max,
                                  std::optional<std::uint64_t> otherwise) {
  const Json* value = Find(key);
  if (value == nullptr) {
    if (otherwise) return *otherwise;
    Fail(fmt::format("'{}' is missing", key));
    return min;
  }
  std::optional<std::uint64_t> n;
  if (value->is_number_unsigned() ||
      (value->is_number_integer() && value->get<std::int64_t>() >= 0))
    n = value->get<std::uint64_t>();
  // Some writers give whole numbers as 4096.0.
  if (value->is_number_float()) {
    const double d = value->get<double>();
    if (d >= 0 && d <= 0x1p53 && d == std::floor(d)) n = static_cast<std::uint64_t>(d);
  }
  if (!n || *n < min || *n > max) {
    Fail(fmt::format("'{}' is {}, a whole number from {} to {} was expected", key,
                     ShownValue(*value), min, max));
    return min;
  }
  return *n;
}

double ConfigReader::Number(const char* key, std::optional<double> otherwise) {
  const Json* value = Find(key);
  if (value == nullptr) {
    if (otherwise) return *otherwise;
    Fail(fmt::format("'{}' is missing", key));
    return 1;
  }
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    Fail(fmt::format("'{}' is {}, a number was expected", key, ShownValue(*value)));
    return 1;
  }
  return value->get<double>();
}

double ConfigReader::Positive(const char* key, std::optional<double> otherwise) {
  const double value = Number(key, otherwise);
  if (value > 0) return value;
  Fail(fmt::format("'{}' is {}, a number above 0 was expected", key, value));
  return 1;
}

bool ConfigReader::Flag(const char* key, bool otherwise) {
  const Json* value = Find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean())
    Fail(fmt::format("'{}' is {}, true or false was expected", key, ShownValue(*value)));
  return value->is_boolean() && value->get<bool>();
}

std::string ConfigReader::Text(const char* key, std::string otherwise) {
  const Json* value = Find(key);
  if (value == nullptr) return otherwise;
  if (value->is_string()) return value->get<std::string>();
  Fail(fmt::format("'{}' is {}, a string was expected", key, ShownValue(*value)));
  return otherwise;
}

std::vector<double> ConfigReader::PositiveList(const char* key, std::uint64_t count) {
  const Json* value = Find(key);
  if (value == nullptr || !value->is_array() || value->size() != count) {
    Fail(fmt::format("'{}' has {} entries, {} were expected", key,
                     value != nullptr && value->is_array() ? value->size() : 0, count));
    return std::vector<double>(count, 1.0);
  }
  std::vector<double> list;
  list.reserve(count);
  for (const Json& entry : *value) {
    const double number = entry.is_number() ? entry.get<double>() : 0;
    if (!std::isfinite(number) || number <= 0)
      Fail(fmt::format("'{}' holds {}, numbers above 0 were expected", key, ShownValue(entry)));
    list.push_back(number);
  }
  return list;
}

}  // namespace ingot::model
