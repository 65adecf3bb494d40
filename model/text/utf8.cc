#include "model/text/utf8.h"

#include <cstring>

namespace ingot::model {

void AppendUtf8(char32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

bool IsUtf8(std::string_view text) {
  for (std::size_t i = SkipAscii(text, 0); i < text.size(); i = SkipAscii(text, i)) {
    const Utf8Step step = ClassifyUtf8(text.substr(i));
    if (step.kind != Utf8Kind::kCharacter) return false;
    i += step.bytes;
  }
  return true;
}

void AppendRepaired(std::string_view bytes, std::string& out) {
  for (std::size_t i = 0; i < bytes.size();) {
    const Utf8Step step = ClassifyUtf8(bytes.substr(i));
    if (step.kind == Utf8Kind::kCharacter) {
      out.append(bytes, i, step.bytes);
    } else {
      out += kReplacementUtf8;
    }
    i += step.bytes;
  }
}

std::size_t SkipAscii(std::string_view text, std::size_t position) {
  constexpr std::uint64_t kHighBits = 0x8080808080808080u;
  while (text.size() - position >= 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + position, 8);
    if ((word & kHighBits) != 0) break;
    position += 8;
  }
  while (position < text.size() && static_cast<unsigned char>(text[position]) < 0x80) ++position;
  return position;
}

std::string_view RepairUtf8(std::string_view text, std::string& storage) {
  for (std::size_t i = SkipAscii(text, 0); i < text.size(); i = SkipAscii(text, i)) {
    const Utf8Step step = ClassifyUtf8(text.substr(i));
    if (step.kind != Utf8Kind::kCharacter) {
      storage.assign(text, 0, i);
      AppendRepaired(text.substr(i), storage);
      return storage;
    }
    i += step.bytes;
  }
  return text;
}

}  // namespace ingot::model
