// Character classes as the reference tokenizers see them: utf8proc's data plus
// model/unicode_tables. Thread rule: functions without mutable state.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/text/unicode_tables.h"

namespace ingot::model {

// Membership in constant time: 256-character blocks, all-out blocks shared.
class CodePointSet {
 public:
  explicit CodePointSet(std::span<const CodePointRange> ranges);
  // REQUIRES: c <= 0x10FFFF.
  bool Contains(char32_t c) const {
    return bits_[block_[c >> 8] * 4u + (c >> 6 & 3)] >> (c & 63) & 1;
  }

 private:
  std::vector<std::uint16_t> block_;
  std::vector<std::uint64_t> bits_;
};

Category CategoryOf(char32_t c);
bool IsWhitespace(char32_t c);  // White_Space
bool IsNumeric(char32_t c);     // Nd, Nl, No
bool IsPunctuation(char32_t c);
bool IsWord(char32_t c);  // \w of the regex crate: letters, marks, decimal digits, connectors
bool IsStrippedMark(char32_t c);
// BertNormalizer's classes: what clean_text removes, what strip_accents removes once a text is
// decomposed, what gets spaces around it.
bool IsBertDropped(char32_t c);
bool IsBertMark(char32_t c);
bool IsBertChinese(char32_t c);
bool NeedsNormalizationCare(char32_t c);  // may change under NFC with its neighbours
bool IsNormalizationOpaque(char32_t c);   // no decomposition, class 0, never composes

// Lower case of one character: one code point, but for U+0130, whose second is U+0307.
char32_t LowercaseOf(char32_t c);

// A character that PCRE2's Unicode data knows, of the same category and UTF-8 length as `c`; `c`
// itself where PCRE2 and the reference's regular expressions agree on it.
char32_t RegexStandIn(char32_t c);
// False for every character of 256 ones where none has a stand-in. REQUIRES: c <= 0x10FFFF.
bool BlockHasStandIns(char32_t c);

}  // namespace ingot::model
