// Any bytes as a tokenizer.model: refused, or a tokenizer that encodes and decodes a hard text.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto made = ingot::model::Tokenizer::FromAssets(
      {{"tokenizer.model", std::string(reinterpret_cast<const char*>(data), size)}});
  if (!made.ok()) return 0;
  const ingot::model::Tokenizer& tokenizer = **made;
  const std::string text =
      "  Hello w\xC3\xB6rld<s> 123\n\n\xE2\x96\x81x \xF0\x9F\x98\x80 e\xCC\x81 \xEF\xAC\x81\t "
      "\xFF\xE2\x82 "
      "aaaaaaaaaaaaaaaaaaaa<sep>the ing </s>";
  auto encoded = tokenizer.Encode(text, true);
  if (!encoded.ok()) return 0;  // its rules make too much of it
  auto ids = *std::move(encoded);
  ids.push_back(-1);
  ids.push_back(1 << 30);
  for (const bool skip : {false, true}) {
    ingot::model::StreamDecoder stream(tokenizer, skip);
    std::string streamed;
    for (const auto id : ids) {
      streamed += stream.Push(id);
      (void)tokenizer.TokenBytes(id);
    }
    streamed += stream.Finish();
    if (streamed != tokenizer.Decode(ids, skip)) std::abort();
  }
  return 0;
}
