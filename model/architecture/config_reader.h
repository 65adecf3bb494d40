// Typed, bounded access to a config.json. The first error sticks, so that a builder reads all it
// needs and asks once whether that went well. A null value counts as absent. The reader remembers
// which keys were asked for, so that what a config says and nobody heard can be told.
// Thread rule: belongs to one thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ingot::model {

class ConfigReader {
 public:
  using Json = nlohmann::json;
  // `where` is put in front of keys in messages: "config.json: hidden_size is ...".
  // REQUIRES: `object` is an object and outlives the reader.
  explicit ConfigReader(const Json& object, std::string where = "config.json")
      : object_(&object), where_(std::move(where)) {}

  bool Has(const char* key) const { return Find(key) != nullptr; }
  // The key is there and its value is null.
  bool IsNull(const char* key) const {
    heard_.insert(key);
    const auto it = object_->find(key);
    return it != object_->end() && it->is_null();
  }
  // The value, null where absent or null.
  const Json* Find(const char* key) const;
  // The value for a message: short, one line.
  std::string Shown(const char* key) const;
  // Fails where the key is there with another value than this one, the only one that the program
  // can do: "'is_causal' is false: why".
  void Demand(const char* key, bool value, const std::string& why);

  // A whole number in [min, max]; without a default the key must be there. min where it failed.
  std::uint64_t Count(const char* key, std::uint64_t min, std::uint64_t max,
                      std::optional<std::uint64_t> otherwise = std::nullopt);
  // A finite number; without a default the key must be there. 1 where it failed.
  double Number(const char* key, std::optional<double> otherwise = std::nullopt);
  // The same, above 0.
  double Positive(const char* key, std::optional<double> otherwise = std::nullopt);
  bool Flag(const char* key, bool otherwise);
  std::string Text(const char* key, std::string otherwise);
  // Exactly `count` finite numbers above 0.
  std::vector<double> PositiveList(const char* key, std::uint64_t count);

  // Counts the keys as asked for: they say nothing here.
  void Ignore(std::initializer_list<const char*> keys) const {
    heard_.insert(keys.begin(), keys.end());
  }
  // Keys with a value that nobody asked for, sorted.
  std::vector<std::string> Unheard() const;

  // Remembers the first error: InvalidArgument "<where>: <why>".
  void Fail(const std::string& why);
  void Fail(Status status);
  const Status& status() const { return status_; }
  const std::string& where() const { return where_; }

 private:
  const Json* object_;
  std::string where_;
  Status status_;
  mutable std::set<std::string, std::less<>> heard_;
};

}  // namespace ingot::model
