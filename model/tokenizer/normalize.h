// The normalizers of a tokenizer.json: what happens to text before it is split.
// Thread rule: const methods may be called from several threads, each with its own scratch.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"
#include "model/text/regex.h"
#include "model/tokenizer/normalizer.h"

namespace ingot::model {

// From the `normalizer` object. Unsupported names an unknown type, Corruption a malformed one.
Result<std::unique_ptr<Normalizer>> ParseNormalizer(const nlohmann::json& spec);

// {"String": s} or {"Regex": r}, as Split and Replace have it.
Result<Regex> ParsePattern(const nlohmann::json& spec);

}  // namespace ingot::model
