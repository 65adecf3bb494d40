#include "model/chat/chat_template.h"

#include <utility>

#include "model/chat/template_machine.h"
#include "model/chat/template_parser.h"

namespace ingot::model {

Result<ChatTemplate> ChatTemplate::Parse(std::string_view source) {
  INGOT_ASSIGN(chat::Body body, chat::ParseTemplate(source));
  return ChatTemplate(std::make_shared<const chat::Body>(std::move(body)));
}

Result<std::string> ChatTemplate::Render(const nlohmann::ordered_json& variables,
                                         const chat::RenderLimits& limits,
                                         std::optional<std::time_t> now) const {
  if (!variables.is_object()) return InvalidArgument("a template's variables are an object");
  return chat::Machine(limits, now).Render(*body_, variables);
}

}  // namespace ingot::model
