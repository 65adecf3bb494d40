// Typed access to a GGUF's metadata, "<architecture>." put in front of keys that start with a dot.
// The first error sticks: a key that is there with a type that makes no sense is Corruption.
// Thread rule: belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/source/gguf/gguf.h"

namespace ingot::model {

class GgufKeys {
 public:
  // REQUIRES: gguf outlives the reader.
  GgufKeys(const Gguf& gguf, std::string architecture)
      : gguf_(&gguf), architecture_(std::move(architecture)) {}

  // Whole number >= 0. An array is taken where all its values are the same (one a layer), else
  // Unsupported.
  std::optional<std::uint64_t> Count(std::string_view key);
  // One a layer, where it is a list; a number is that of every layer.
  std::optional<std::vector<std::uint64_t>> Counts(std::string_view key, std::uint64_t layers);
  std::optional<double> Number(std::string_view key);  // finite
  std::optional<std::string> Text(std::string_view key);
  std::optional<bool> Flag(std::string_view key);
  // nullptr where it is absent or not an array of strings / of numbers.
  const GgufValue* Texts(std::string_view key);
  const GgufValue* Numbers(std::string_view key);

  const std::string& architecture() const { return architecture_; }
  const Status& status() const { return status_; }
  void Fail(Status status);

 private:
  const GgufValue* Find(std::string_view key) const;
  void WrongType(std::string_view key, std::string_view expected);

  const Gguf* gguf_;
  std::string architecture_;
  Status status_;
};

}  // namespace ingot::model
