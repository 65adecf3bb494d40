#include "model/text/json_text.h"

#include <fmt/format.h>

#include <string>

#include "untrusted/json_guard.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

// `text` with bare numbers that JSON does not have replaced; empty where it has none.
std::string TagFloats(std::string_view text) {
  static constexpr std::string_view kFloats[] = {"-Infinity", "Infinity", "NaN"};
  std::string tagged;
  std::size_t copied = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (quoted) {
      if (text[i] == '\\') ++i;
      continue;
    }
    for (const std::string_view name : kFloats) {
      if (!text.substr(i).starts_with(name)) continue;
      tagged += fmt::format("{}{{\"__float__\": \"{}\"}}", text.substr(copied, i - copied), name);
      copied = i + name.size();
      i = copied - 1;
      break;
    }
  }
  if (copied > 0) tagged += text.substr(copied);
  return tagged;
}

}  // namespace

Result<Json> ParsePythonJson(std::string_view text) {
  Result<Json> json = ParseJson(text);
  if (json.ok()) return json;
  const std::string tagged = TagFloats(text);
  return tagged.empty() ? std::move(json) : ParseJson(tagged);
}

Result<Json> ParseJson(std::string_view text) {
  return untrusted::ParseJson(text, untrusted::JsonLimits());
}

}  // namespace ingot::model
