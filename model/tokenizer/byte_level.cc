#include "model/tokenizer/byte_level.h"

#include "model/text/utf8.h"

namespace ingot::model {

void AppendByteLevel(std::string_view bytes, std::string& out) {
  for (const char c : bytes) AppendUtf8(kByteCharacters[static_cast<unsigned char>(c)], out);
}

bool AppendBytesOf(std::string_view text, std::string& out) {
  const std::size_t before = out.size();
  for (std::size_t i = 0; i < text.size();) {
    const int byte = ByteOfCharacter(NextCodePoint(text, i));
    if (byte < 0) {
      out.resize(before);
      return false;
    }
    out += static_cast<char>(byte);
  }
  return true;
}

}  // namespace ingot::model
