// The world vocabulary's text. What is accepted finds a token at every byte.
#include <cstddef>
#include <cstdint>
#include <string>

#include "model/tokenizer/rwkv_vocabulary.h"

// The bytes, without which no vocabulary is one, before the input.
static std::string Bytes() {
  static const char kHex[] = "0123456789abcdef";
  std::string text;
  for (int b = 0; b < 256; ++b)
    text += std::to_string(b + 1) + " b'\\x" + kHex[b / 16] + kHex[b % 16] + "' 1\n";
  return text;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string kBytes = Bytes();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto vocabulary = ingot::model::RwkvVocabulary::Parse(kBytes + std::string(input));
  if (!vocabulary.ok()) return 0;
  for (std::string_view rest = input; !rest.empty();) {
    const auto match = vocabulary->Longest(rest);
    INGOT_CHECK(match.bytes > 0 && match.bytes <= rest.size());
    INGOT_CHECK(vocabulary->Token(match.id) == rest.substr(0, match.bytes));
    rest.remove_prefix(match.bytes);
  }
  return 0;
}
