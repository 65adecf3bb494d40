// What stands beside a tokenizer: special ids and the chat template, from tokenizer_config.json,
// special_tokens_map.json, generation_config.json and chat_template.jinja.
// Thread rule: functions without state.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/text/json_text.h"
#include "model/tokenizer/added_tokens.h"

namespace ingot::model {

struct TokenizerConfig {
  TokenId bos_id = -1;
  TokenId mask_id = -1;
  std::vector<TokenId> eos_ids;  // sorted, each once
  std::string chat_template;
  std::optional<bool> add_bos, add_eos;
  std::map<TokenId, AddedToken> added;  // added_tokens_decoder
};

// `find` gives the id of a token's text, -1 where it is unknown. Corruption for JSON that is none.
Result<TokenizerConfig> ReadTokenizerConfig(const std::map<std::string, std::string>& assets,
                                            const std::function<TokenId(const std::string&)>& find);

}  // namespace ingot::model
