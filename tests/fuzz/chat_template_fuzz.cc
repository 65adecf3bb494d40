// Any bytes as a chat template: refused, or rendered within its limits, and the same text again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/chat/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = ingot::model::ChatTemplate::Parse(
      std::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) return 0;
  static const auto kVariables = nlohmann::ordered_json::parse(
      R"({"messages":[{"role":"system","content":"s <é>"},{"role":"user","content":"a\nb "},
          {"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f",
           "arguments":{"x":[1,2.5,true,null]}}}]},{"role":"user","content":[{"type":"text","text":"t"}]}],
          "tools":null,"add_generation_prompt":true,"bos_token":"<s>","eos_token":"</s>"})");
  ingot::model::chat::RenderLimits limits;
  limits.steps = 20000;
  limits.bytes = 1 << 22;
  limits.text_bytes = 1 << 18;
  const auto text = parsed->Render(kVariables, limits, 0);
  const auto again = parsed->Render(kVariables, limits, 0);
  if (text.ok() != again.ok() || (text.ok() && *text != *again)) std::abort();
  return 0;
}
