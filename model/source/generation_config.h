// How a model wants to be continued: what ends a text, and how tokens are drawn.
// generation_config.json says it, or where there is none config.json, as in transformers.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/status.h"
#include "model/source/checkpoint.h"

namespace ingot::model {

// What a file says of sampling; a value that it does not give is absent.
struct GenerationConfig {
  std::string file;  // that says anything; empty: none does
  std::optional<bool> do_sample;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<std::uint64_t> top_k;
};

using Assets = std::map<std::string, std::string>;

// `config` is the model's config.json. InvalidArgument names a value that is out of its range.
Result<GenerationConfig> ReadGenerationConfig(const Json& config, const Assets& assets);

// The assets that the model's tokenizer is made of: where generation_config.json does not name the
// tokens that end a text, what config.json says is put there.
Assets TokenizerAssets(const Json& config, const Assets& assets);

}  // namespace ingot::model
