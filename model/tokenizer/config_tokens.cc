#include "model/tokenizer/config_tokens.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <unordered_map>

#include "model/text/json_fields.h"
#include "model/text/json_text.h"
#include "model/tokenizer/vocabulary.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;
using Assets = std::map<std::string, std::string>;

constexpr std::array<std::string_view, 7> kNamed = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
constexpr const char* kConfig = "tokenizer_config.json";

Json TokenOf(const std::string& content, bool special, bool normalized) {
  return {{"content", content}, {"special", special}, {"single_word", false},
          {"lstrip", false},    {"rstrip", false},    {"normalized", normalized}};
}

// A token as a file writes it: its text, or an object whose missing flags are false and which is
// looked for in normalized text unless it is special.
Result<Json> ParseToken(const Json& field, bool special) {
  if (field.is_string()) return TokenOf(field.get<std::string>(), special, !special);
  INGOT_ASSIGN(const std::string content, StringField(field, "content"));
  INGOT_ASSIGN(const bool is_special, BoolField(field, "special", special));
  Json token = TokenOf(content, is_special, !is_special);
  for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) {
    INGOT_ASSIGN(const bool value, BoolField(field, flag, token[flag].get<bool>()));
    token[flag] = value;
  }
  return token;
}

const std::string& ContentOf(const Json& token) {
  return token["content"].get_ref<const std::string&>();
}

// Tokens in order, found by their text.
struct TokenList {
  std::vector<Json> tokens;
  std::unordered_map<std::string, std::size_t> index;

  const Json* Find(const std::string& content) const {
    const auto at = index.find(content);
    return at == index.end() ? nullptr : &tokens[at->second];
  }
  // Of two with one text the later one is found.
  void Add(Json token) {
    index[ContentOf(token)] = tokens.size();
    tokens.push_back(std::move(token));
  }
};

// What the files say, before it is put together.
struct Configured {
  std::vector<std::pair<std::string, Json>> named;  // key, token; null: the file says there is none
  TokenList additional;
  std::map<std::int64_t, Json> by_id;
};

void SetNamed(std::vector<std::pair<std::string, Json>>& named, const std::string& key,
              Json token) {
  const auto at =
      std::find_if(named.begin(), named.end(), [&](const auto& one) { return one.first == key; });
  if (at != named.end()) {
    at->second = std::move(token);
  } else {
    named.emplace_back(key, std::move(token));
  }
}

Status ReadNamed(const Json& object, Configured& out) {
  for (const std::string_view key : kNamed) {
    const auto at = object.find(key);
    if (at == object.end()) continue;
    Json token;
    if (!at->is_null()) {
      INGOT_ASSIGN(token, ParseToken(*at, true).At(std::string(key)));
    }
    SetNamed(out.named, std::string(key), std::move(token));
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const Json* list = FindField(object, key);
    if (list == nullptr || list->empty()) continue;
    // A list, or an object from names to tokens.
    if (!list->is_array() && !list->is_object())
      return Corruption("\"" + std::string(key) + "\" is no list of tokens");
    for (const auto& entry : list->items()) {
      INGOT_ASSIGN(Json token, ParseToken(entry.value(), true).At(key));
      if (out.additional.Find(ContentOf(token)) == nullptr) out.additional.Add(std::move(token));
    }
  }
  return OkStatus();
}

Status ReadDecoder(const Json& decoder, Configured& out) {
  if (!decoder.is_object()) return Corruption("\"added_tokens_decoder\" is no object");
  for (const auto& [key, spec] : decoder.items()) {
    const bool number =
        !key.empty() && key.size() <= 7 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!number || std::stol(key) > kMaxTokenId)
      return Corruption("\"added_tokens_decoder\": '" + key + "' is no token id");
    INGOT_ASSIGN(out.by_id[std::stol(key)],
                 ParseToken(spec, false).At("\"added_tokens_decoder\": " + key));
  }
  return OkStatus();
}

Status ReadAddedTokens(const Json& file, Configured& out) {
  for (const auto& entry : file.items()) {
    const std::string& content = entry.key();
    const Json& id = entry.value();
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kMaxTokenId)
      return Corruption("added_tokens.json: '" + content + "' has no token id");
    const bool named = std::any_of(out.named.begin(), out.named.end(), [&](const auto& one) {
      return !one.second.is_null() && ContentOf(one.second) == content;
    });
    const bool special = named || out.additional.Find(content) != nullptr;
    out.by_id[id.get<std::int64_t>()] = TokenOf(content, special, !special);
  }
  return OkStatus();
}

}  // namespace

Result<Json> ReadObjectAsset(const Assets& assets, const std::string& name) {
  const auto at = assets.find(name);
  if (at == assets.end()) return Json::object();
  INGOT_ASSIGN(Json object, ParseJson(at->second).At(name));
  if (!object.is_object()) return Corruption(name + ": not a JSON object");
  return object;
}

std::string NamedToken(const Json& config, const Json& map, std::string_view key,
                       std::string_view otherwise) {
  for (const Json* from : {&config, &map}) {
    const auto at = from->find(key);
    if (at == from->end()) continue;
    if (at->is_null()) return {};
    if (at->is_string()) return at->get<std::string>();
    const Json* content = FindField(*at, "content");
    if (content != nullptr && content->is_string()) return content->get<std::string>();
  }
  return std::string(otherwise);
}

Result<Json> AddConfiguredTokens(const Json& listed, const Assets& assets,
                                 const TokenDefaults& defaults) {
  INGOT_ASSIGN(const Json config, ReadObjectAsset(assets, kConfig));
  Configured files;
  for (const auto& [key, content] : defaults.named)
    SetNamed(files.named, std::string(key), TokenOf(content, true, false));
  INGOT_TRY(ReadNamed(config, files).At(kConfig));
  if (const Json* decoder = FindField(config, "added_tokens_decoder")) {
    INGOT_TRY(ReadDecoder(*decoder, files).At(kConfig));
  } else {
    INGOT_ASSIGN(const Json map, ReadObjectAsset(assets, "special_tokens_map.json"));
    INGOT_TRY(ReadNamed(map, files).At("special_tokens_map.json"));
    INGOT_ASSIGN(const Json added, ReadObjectAsset(assets, "added_tokens.json"));
    INGOT_TRY(ReadAddedTokens(added, files));
  }
  // Flags of the tokens that are there, with what a file leaves out filled in.
  TokenList present, more;
  if (listed.is_array())
    for (const Json& token : listed) {
      INGOT_ASSIGN(Json whole, ParseToken(token, false).At("\"added_tokens\""));
      present.Add(std::move(whole));
    }
  const auto is_new = [&](const Json& token) {
    return present.Find(ContentOf(token)) == nullptr && more.Find(ContentOf(token)) == nullptr;
  };
  for (const auto& [id, token] : files.by_id)
    if (const Json* there = present.Find(ContentOf(token)); there == nullptr || *there != token)
      more.Add(token);
  // A special token that is named by its text alone has the flags it is listed with.
  for (const std::string_view key : kNamed)
    for (const auto& [name, token] : files.named)
      if (name == key && !token.is_null() && is_new(token)) more.Add(token);
  for (const Json& token : files.additional.tokens)
    if (is_new(token)) more.Add(token);
  Json all = listed.is_array() ? listed : Json::array();
  for (Json& token : more.tokens) {
    const bool named = std::any_of(files.named.begin(), files.named.end(), [&](const auto& one) {
      return !one.second.is_null() && ContentOf(one.second) == ContentOf(token);
    });
    if (named) token["special"] = true;
    if (defaults.plain && (named || files.additional.Find(ContentOf(token)) != nullptr))
      token = TokenOf(ContentOf(token), true, false);
    if (!ContentOf(token).empty()) all.push_back(std::move(token));
  }
  return all;
}

}  // namespace ingot::model
