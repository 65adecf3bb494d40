// UTF-8: stepping through valid text, and repairing text that is not.
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ingot::model {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;
inline constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";

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

// Where the character before `position` starts. REQUIRES: valid UTF-8, 0 < position <= text.size().
inline std::size_t PreviousStart(std::string_view text, std::size_t position) {
  do {
    --position;
  } while ((static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  return position;
}

// REQUIRES: c is a Unicode scalar value.
void AppendUtf8(char32_t c, std::string& out);

// Appends `bytes` with every ill-formed subsequence as U+FFFD.
void AppendRepaired(std::string_view bytes, std::string& out);

// `text` itself where it is valid UTF-8, else its repaired copy in `storage`.
std::string_view RepairUtf8(std::string_view text, std::string& storage);

// Position of the first byte that is not ASCII, at or after `position`.
std::size_t SkipAscii(std::string_view text, std::size_t position);

}  // namespace ingot::model
