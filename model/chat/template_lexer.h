// Jinja's tokens of a chat template, with white space as transformers sets it: trim_blocks and
// lstrip_blocks, no newline kept at the end.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ingot::model::chat {

enum class TokenKind {
  kData,  // text between tags
  kBlockBegin,
  kBlockEnd,
  kVariableBegin,
  kVariableEnd,
  kName,
  kText,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;  // a literal's text is unescaped, a number's without underscores
  std::uint32_t line = 1;

  bool Is(TokenKind k, std::string_view t) const { return kind == k && text == t; }
};

// The last token is kEnd. InvalidArgument names the line: a tag that does not end, a character that
// begins no token, brackets that do not match, an integer beyond 64 bits.
// REQUIRES: valid UTF-8.
Result<std::vector<Token>> LexTemplate(std::string_view source);

}  // namespace ingot::model::chat
