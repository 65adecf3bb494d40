// How Python writes values and what it does to texts: str, repr, json.dumps, case, white space.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/chat/template_value.h"

namespace ingot::model::chat {

std::string ToText(const Value& value);  // str()
std::string ToRepr(const Value& value);  // repr()
std::string FloatRepr(double value);

struct JsonStyle {
  bool ensure_ascii = false, sort_keys = false;
  std::optional<std::string> indent;
  std::string item_separator = ", ", key_separator = ": ";
};
// json.dumps. InvalidArgument for what JSON has no form for.
Result<std::string> ToJson(const Value& value, const JsonStyle& style);

// Characters of a text. REQUIRES, of all below: valid UTF-8.
std::int64_t CountCharacters(std::string_view text);
std::vector<std::string_view> Characters(std::string_view text);

bool IsPythonSpace(char32_t c);  // str.isspace
// Where `text` ends or begins to be white space, or characters of `chars` where it has a value.
std::string_view StripLeft(std::string_view text, const std::optional<std::string>& chars = {});
std::string_view StripRight(std::string_view text, const std::optional<std::string>& chars = {});
std::string Lower(std::string_view text);
std::string Upper(std::string_view text);
std::string Capitalize(std::string_view text);

// `format` with Python's % and its arguments; a mapping for %(name)s.
Result<std::string> FormatPercent(std::string_view format, const std::vector<Value>& arguments,
                                  const Value* mapping);
// str.format, of fields by place, number and name.
Result<std::string> FormatBraces(std::string_view format, const std::vector<Value>& arguments,
                                 const std::vector<std::pair<std::string, Value>>& named);

}  // namespace ingot::model::chat
