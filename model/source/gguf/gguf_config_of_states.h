// The config.json of models whose layers carry a state: Mamba, Mamba-2, Jamba, RWKV 6 and 7. They
// have no heads, or in some layers alone.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "model/source/gguf/gguf.h"
#include "model/source/gguf/gguf_families.h"
#include "model/source/gguf/gguf_keys.h"

namespace ingot::model {

// nullptr where there is none.
const GgufTensor* FindGgufTensor(const Gguf& gguf, std::string_view name);

// A config.json under construction. Errors stick in `keys`.
struct GgufFields {
  const Gguf& gguf;
  GgufKeys& keys;
  nlohmann::json& config;

  // Copies a key where it is there; `required` makes its absence an error.
  void Count(const char* to, std::string_view from, bool required = false);
  void Number(const char* to, std::string_view from);
};

// false: the family is of another kind, and nothing was done.
bool MakeGgufConfigOfStates(const GgufFamily& family, GgufFields& fields);

}  // namespace ingot::model
