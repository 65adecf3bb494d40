#include "model/text/utf8.h"

#include <cstring>

namespace ingot::model {

Utf8Step ClassifyUtf8(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {Utf8Kind::kCharacter, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8Kind::kInvalid, 1};
  const std::size_t length = Utf8Length(byte(0));
  // The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF.
  unsigned low = 0x80;
  unsigned high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (std::size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {Utf8Kind::kCutOff, i};
    if (byte(i) < low || byte(i) > high) return {Utf8Kind::kInvalid, i};
    low = 0x80;
    high = 0xBF;
  }
  return {Utf8Kind::kCharacter, length};
}

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
