// UTF-8: stepping through valid text, and repairing text that is not.
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "untrusted/utf8_step.h"

namespace ingot::model {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;
inline constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";

using untrusted::ClassifyUtf8;
using untrusted::NextCodePoint;
using untrusted::Utf8Kind;
using untrusted::Utf8Length;
using untrusted::Utf8Step;

// Where the character before `position` starts. REQUIRES: valid UTF-8, 0 < position <= text.size().
inline std::size_t PreviousStart(std::string_view text, std::size_t position) {
  do {
    --position;
  } while ((static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  return position;
}

// REQUIRES: c is a Unicode scalar value.
void AppendUtf8(char32_t c, std::string& out);

// Whether all of it is well-formed.
bool IsUtf8(std::string_view text);

// Appends `bytes` with every ill-formed subsequence as U+FFFD.
void AppendRepaired(std::string_view bytes, std::string& out);

// `text` itself where it is valid UTF-8, else its repaired copy in `storage`.
std::string_view RepairUtf8(std::string_view text, std::string& storage);

// Position of the first byte that is not ASCII, at or after `position`.
std::size_t SkipAscii(std::string_view text, std::size_t position);

}  // namespace ingot::model
