// How a model is talked to: its chat template with the special tokens that it names, from the files
// beside its vocabulary, and where a turn ends.
//
// Thread rule: immutable once made.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/chat/chat_template.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::model {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

class ChatFormat {
 public:
  // From chat_template.jinja, else tokenizer_config.json's "chat_template": a text or a list of
  // named ones, of which `name` picks one; by default the one called "default", or the only one.
  // Special tokens are tokenizer_config.json's and special_tokens_map.json's. NotFound where there
  // is no template, or none of that name (the message lists them); InvalidArgument and Corruption
  // name the file.
  static Result<ChatFormat> FromAssets(const std::map<std::string, std::string>& assets,
                                       std::string_view name = {});
  // Another template for the same model, as the text of a .jinja file.
  static Result<ChatFormat> FromText(std::string_view source,
                                     const std::map<std::string, std::string>& assets);
  // No template: "User: ...", "Assistant: ..." in lines.
  static ChatFormat Plain();

  // The conversation as text; with `answer_next` up to where the model's answer begins.
  // InvalidArgument where the template refuses it.
  Result<std::string> Text(const std::vector<ChatMessage>& messages, bool answer_next) const;
  // The special token that the template puts behind an answer, which ends it whatever
  // generation_config.json says; empty where there is none.
  std::vector<TokenId> EndsOfTurn(const Tokenizer& tokenizer) const;
  bool HasTemplate() const { return template_.has_value(); }
  // A text that ends an answer, of Plain; empty: none.
  std::string StopText() const { return template_.has_value() ? "" : "\nUser:"; }

 private:
  ChatFormat() = default;
  Status SetTokens(const std::map<std::string, std::string>& assets);
  std::optional<ChatTemplate> template_;
  std::map<std::string, std::string> tokens_;  // "bos_token": "<s>"
};

}  // namespace ingot::model
