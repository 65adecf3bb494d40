// One step through bytes that may or may not be UTF-8. Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <string_view>

namespace ingot::untrusted {

// What the bytes at a position are: one whole character, the beginning of one that the end cuts
// off, or a maximal ill-formed subsequence (Unicode 3.9, U+FFFD substitution).
enum class Utf8Kind { kCharacter, kCutOff, kInvalid };
struct Utf8Step {
  Utf8Kind kind;
  std::size_t bytes;  // at least 1
};
// REQUIRES: bytes is not empty.
Utf8Step ClassifyUtf8(std::string_view bytes);

// Bytes of the character that starts with `lead`. REQUIRES: lead starts a character of valid UTF-8.
inline std::size_t Utf8Length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

// The character at `position`, which moves past it. REQUIRES: valid UTF-8, position < text.size().
inline char32_t NextCodePoint(std::string_view text, std::size_t& position) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data()) + position;
  if (p[0] < 0x80) {
    position += 1;
    return p[0];
  }
  if (p[0] < 0xE0) {
    position += 2;
    return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
  }
  if (p[0] < 0xF0) {
    position += 3;
    return (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
  }
  position += 4;
  return (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
}

}  // namespace ingot::untrusted
