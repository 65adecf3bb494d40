// A model's chat template: messages to the text that the model continues, as transformers'
// apply_chat_template renders it. The language is the part of Jinja 2 that transformers lets
// templates use (template_parser.h); values do not change once made, as in its sandbox.
//
// Thread rule: immutable once parsed; Render may be called from several threads.
#pragma once

#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "model/chat/template_context.h"
#include "model/chat/template_syntax.h"

namespace ingot::model {

class ChatTemplate {
 public:
  // InvalidArgument names the line and what is not understood; Limit: too long, nested too deep.
  static Result<ChatTemplate> Parse(std::string_view source);

  // `variables`: an object whose order is kept: messages, add_generation_prompt, bos_token, tools
  // and what else the template reads. InvalidArgument with the line: what the template itself
  // raises, an undefined value used, types that do not go together; Limit past `limits`.
  // `now`: what strftime_now tells, by default the clock.
  Result<std::string> Render(const nlohmann::ordered_json& variables,
                             const chat::RenderLimits& limits = {},
                             std::optional<std::time_t> now = {}) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const chat::Body> body) : body_(std::move(body)) {}
  std::shared_ptr<const chat::Body> body_;
};

}  // namespace ingot::model
