// The post-processors of a tokenizer.json: the tokens put around a text.
// Thread rule: functions without state.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::model {

struct Surroundings {
  std::vector<TokenId> before;
  std::vector<TokenId> after;
};

// From the `post_processor` object; null: nothing around. TemplateProcessing's form for a single
// text counts.
Result<Surroundings> ParsePostProcessor(const nlohmann::json* spec);

}  // namespace ingot::model
