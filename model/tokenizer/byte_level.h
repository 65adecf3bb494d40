// GPT-2's byte alphabet: every byte as one printable character, so that a vocabulary over bytes is
// text. Thread rule: constants.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace ingot::model {

// Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and up, in order.
constexpr std::array<char32_t, 256> MakeByteCharacters() {
  std::array<char32_t, 256> table{};
  char32_t next = 0x100;
  for (unsigned b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    table[b] = printable ? b : next++;
  }
  return table;
}
inline constexpr std::array<char32_t, 256> kByteCharacters = MakeByteCharacters();

constexpr std::array<std::int16_t, 0x144> MakeCharacterBytes() {
  std::array<std::int16_t, 0x144> table{};
  for (auto& entry : table) entry = -1;
  for (unsigned b = 0; b < 256; ++b) table[kByteCharacters[b]] = static_cast<std::int16_t>(b);
  return table;
}
inline constexpr std::array<std::int16_t, 0x144> kCharacterBytes = MakeCharacterBytes();

// The byte that a character stands for, -1 for characters outside the alphabet.
constexpr int ByteOfCharacter(char32_t c) { return c < 0x144 ? kCharacterBytes[c] : -1; }

// Appends the bytes of `text` in the byte alphabet.
void AppendByteLevel(std::string_view bytes, std::string& out);
// Appends the bytes that `text` spells; false, and nothing appended, where it has other characters.
// REQUIRES: valid UTF-8.
bool AppendBytesOf(std::string_view text, std::string& out);

}  // namespace ingot::model
