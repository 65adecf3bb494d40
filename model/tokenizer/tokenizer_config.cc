#include "model/tokenizer/tokenizer_config.h"

#include <algorithm>

#include "model/text/json_fields.h"
#include "model/tokenizer/vocabulary.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxListedTokens = 1 << 20;

Result<Json> ReadAsset(const std::map<std::string, std::string>& assets, const std::string& name) {
  const auto at = assets.find(name);
  if (at == assets.end()) return Json::object();
  return ParseJson(at->second).At(name);
}

// A token as its text, or as an object with "content".
std::string TokenText(const Json* field) {
  if (field == nullptr) return {};
  if (field->is_string()) return field->get<std::string>();
  const Json* content = FindField(*field, "content");
  return content != nullptr && content->is_string() ? content->get<std::string>() : std::string();
}

std::optional<bool> Flag(const Json& config, std::string_view key) {
  const Json* field = FindField(config, key);
  if (field == nullptr || !field->is_boolean()) return std::nullopt;
  return field->get<bool>();
}

// One id; -1 and null, which some files write for none, are passed over.
Status AddId(const Json& id, std::string_view key, std::vector<TokenId>& out) {
  if (id.is_null() || (id.is_number_integer() && id == -1)) return OkStatus();
  if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kMaxTokenId)
    return Corruption("generation_config.json: \"" + std::string(key) + "\" is " +
                      id.dump().substr(0, 40) + ", no token id");
  out.push_back(id.get<TokenId>());
  return OkStatus();
}

// One id or a list of them; none where the key is absent or null.
Status AddIds(const Json& generation, std::string_view key, std::vector<TokenId>& out) {
  const Json* ids = FindField(generation, key);
  if (ids == nullptr) return OkStatus();
  if (!ids->is_array()) return AddId(*ids, key, out);
  for (const Json& id : *ids) INGOT_TRY(AddId(id, key, out));
  return OkStatus();
}

// One template, or the one named "default" of several.
std::string ChatTemplate(const Json& config) {
  const Json* field = FindField(config, "chat_template");
  if (field == nullptr) return {};
  if (field->is_string()) return field->get<std::string>();
  std::string chosen;
  if (!field->is_array()) return chosen;
  for (const Json& entry : *field) {
    const Json* text = FindField(entry, "template");
    const Json* name = FindField(entry, "name");
    if (text == nullptr || !text->is_string()) continue;
    const bool is_default = name != nullptr && *name == "default";
    if (chosen.empty() || is_default) chosen = text->get<std::string>();
    if (is_default) break;
  }
  return chosen;
}

void ReadAddedTokens(const Json& config, std::map<TokenId, AddedToken>& added) {
  const Json* list = FindField(config, "added_tokens_decoder");
  if (list == nullptr || !list->is_object() || list->size() > kMaxListedTokens) return;
  for (const auto& [key, spec] : list->items()) {
    if (key.empty() || key.size() > 7 || key.find_first_not_of("0123456789") != std::string::npos) {
      continue;
    }
    const TokenId id = std::stoi(key);
    AddedToken token;
    token.content = TokenText(&spec);
    token.special = Flag(spec, "special").value_or(false);
    token.single_word = Flag(spec, "single_word").value_or(false);
    token.lstrip = Flag(spec, "lstrip").value_or(false);
    token.rstrip = Flag(spec, "rstrip").value_or(false);
    token.normalized = Flag(spec, "normalized").value_or(!token.special);
    if (id <= kMaxTokenId && !token.content.empty()) added.emplace(id, std::move(token));
  }
}

}  // namespace

Result<TokenizerConfig> ReadTokenizerConfig(
    const std::map<std::string, std::string>& assets,
    const std::function<TokenId(const std::string&)>& find) {
  INGOT_ASSIGN(const Json config, ReadAsset(assets, "tokenizer_config.json"));
  INGOT_ASSIGN(const Json map, ReadAsset(assets, "special_tokens_map.json"));
  INGOT_ASSIGN(const Json generation, ReadAsset(assets, "generation_config.json"));
  TokenizerConfig out;
  const auto named = [&](std::string_view key) {
    std::string text = TokenText(FindField(config, key));
    if (text.empty()) text = TokenText(FindField(map, key));
    return text.empty() ? TokenId{-1} : find(text);
  };
  out.bos_id = named("bos_token");
  if (out.bos_id < 0) {
    std::vector<TokenId> ids;
    INGOT_TRY(AddIds(generation, "bos_token_id", ids));
    if (!ids.empty()) out.bos_id = ids[0];
  }
  out.mask_id = named("mask_token");
  for (const char* text : {"[MASK]", "<mask>"})
    if (out.mask_id < 0) out.mask_id = find(text);
  if (const TokenId eos = named("eos_token"); eos >= 0) out.eos_ids.push_back(eos);
  INGOT_TRY(AddIds(generation, "eos_token_id", out.eos_ids));
  std::sort(out.eos_ids.begin(), out.eos_ids.end());
  out.eos_ids.erase(std::unique(out.eos_ids.begin(), out.eos_ids.end()), out.eos_ids.end());
  out.add_bos = Flag(config, "add_bos_token");
  out.add_eos = Flag(config, "add_eos_token");
  ReadAddedTokens(config, out.added);
  const auto jinja = assets.find("chat_template.jinja");
  out.chat_template = jinja != assets.end() ? jinja->second : ChatTemplate(config);
  return out;
}

}  // namespace ingot::model
