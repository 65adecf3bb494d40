// Text of a chat template to its tree: the part of Jinja 2 that transformers lets templates use.
//
// Thread rule: pure functions.
#pragma once

#include <string_view>

#include "base/status.h"
#include "model/chat/template_syntax.h"

namespace ingot::model::chat {

inline constexpr std::size_t kMaxTemplateBytes = std::size_t{1} << 20;

// InvalidArgument names the line: bad syntax, a tag that templates of transformers have not
// (include, import, extends, block, do); Limit: too long, too deep.
Result<Body> ParseTemplate(std::string_view source);

}  // namespace ingot::model::chat
