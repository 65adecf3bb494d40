#include "model/chat/chat_format.h"

#include <fmt/format.h>

#include <utility>

#include "model/text/json_fields.h"
#include "model/tokenizer/config_tokens.h"

namespace ingot::model {
namespace {

using Assets = std::map<std::string, std::string>;

constexpr const char* kConfig = "tokenizer_config.json";
constexpr const char* kFile = "chat_template.jinja";
constexpr std::string_view kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                               "pad_token", "cls_token", "mask_token"};

// The templates that the files have, by name, and the file that they stand in.
Result<std::map<std::string, std::string>> NamedTemplates(const Assets& assets, std::string& file) {
  std::map<std::string, std::string> out;
  if (const auto jinja = assets.find(kFile); jinja != assets.end()) {
    file = kFile;
    out["default"] = jinja->second;
    return out;
  }
  file = kConfig;
  INGOT_ASSIGN(const nlohmann::json config, ReadObjectAsset(assets, kConfig));
  const nlohmann::json* field = FindField(config, "chat_template");
  if (field == nullptr || field->is_null()) return out;
  if (field->is_string()) out["default"] = field->get<std::string>();
  if (!field->is_array()) return out;
  for (const nlohmann::json& entry : *field) {
    const nlohmann::json* text = FindField(entry, "template");
    const nlohmann::json* name = FindField(entry, "name");
    if (text != nullptr && text->is_string() && name != nullptr && name->is_string())
      out[name->get<std::string>()] = text->get<std::string>();
  }
  return out;
}

std::string Names(const std::map<std::string, std::string>& templates) {
  std::string out;
  for (const auto& [name, text] : templates) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace

Result<ChatFormat> ChatFormat::FromAssets(const Assets& assets, std::string_view name) {
  std::string file;
  INGOT_ASSIGN(const auto templates, NamedTemplates(assets, file));
  if (templates.empty())
    return InvalidArgument(
        "the model has no chat template: --no-template talks to it in plain lines");
  auto chosen = templates.find(name.empty() ? "default" : std::string(name));
  if (chosen == templates.end() && name.empty() && templates.size() == 1)
    chosen = templates.begin();
  if (chosen == templates.end())
    return InvalidArgument(fmt::format("{} has no chat template '{}', but {}: --chat-template NAME",
                                       file, name.empty() ? "default" : name, Names(templates)));
  ChatFormat format;
  INGOT_ASSIGN(format.template_, ChatTemplate::Parse(chosen->second).At(file));
  INGOT_TRY(format.SetTokens(assets));
  return format;
}

Result<ChatFormat> ChatFormat::FromText(std::string_view source, const Assets& assets) {
  ChatFormat format;
  INGOT_ASSIGN(format.template_, ChatTemplate::Parse(source));
  INGOT_TRY(format.SetTokens(assets));
  return format;
}

ChatFormat ChatFormat::Plain() { return ChatFormat(); }

Status ChatFormat::SetTokens(const Assets& assets) {
  INGOT_ASSIGN(const nlohmann::json config, ReadObjectAsset(assets, kConfig));
  INGOT_ASSIGN(const nlohmann::json map, ReadObjectAsset(assets, "special_tokens_map.json"));
  for (const std::string_view key : kSpecialTokens)
    if (std::string token = NamedToken(config, map, key, ""); !token.empty())
      tokens_.emplace(key, std::move(token));
  return OkStatus();
}

Result<std::string> ChatFormat::Text(const std::vector<ChatMessage>& messages,
                                     bool answer_next) const {
  if (!template_.has_value()) {
    std::string out;
    for (const auto& [role, content] : messages) {
      if (role == "system") {
        out += content + "\n\n";
      } else {
        out += (role == "user" ? "User: " : "Assistant:") + content + "\n";
      }
    }
    return answer_next ? out + "Assistant:" : out;
  }
  nlohmann::ordered_json variables = {{"messages", nlohmann::ordered_json::array()},
                                      {"tools", nullptr},
                                      {"documents", nullptr},
                                      {"add_generation_prompt", answer_next}};
  for (const auto& [role, content] : messages)
    variables["messages"].push_back({{"role", role}, {"content", content}});
  for (const auto& [key, token] : tokens_) variables[key] = token;
  return template_->Render(variables).At("chat template");
}

std::vector<TokenId> ChatFormat::EndsOfTurn(const Tokenizer& tokenizer) const {
  constexpr std::string_view kAnswer = "an answer of 5 words";
  if (!template_.has_value()) return {};
  const auto text =
      Text({{"user", "a question"}, {"assistant", std::string(kAnswer)}}, /*answer_next=*/false);
  const std::size_t at = text.ok() ? text->rfind(kAnswer) : std::string::npos;
  if (at == std::string::npos) return {};
  const auto ids = tokenizer.Encode(std::string_view(*text).substr(at + kAnswer.size()), false);
  if (!ids.ok() || ids->empty() || !tokenizer.IsSpecial(ids->front())) return {};
  return {ids->front()};
}

}  // namespace ingot::model
