#include "model/text/unicode_class.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

namespace ingot::model {
namespace {

constexpr char32_t kMongolianVowelSeparator = 0x180E;

const NewerCharacters* FindNewer(char32_t c) {
  const auto after =
      std::upper_bound(kNewerCharacters.begin(), kNewerCharacters.end(), c,
                       [](char32_t x, const NewerCharacters& n) { return x < n.first; });
  if (after == kNewerCharacters.begin()) return nullptr;
  const NewerCharacters& row = *(after - 1);
  return c <= row.last ? &row : nullptr;
}

// A long-known member of the category, with as many UTF-8 bytes as `c`; Han for Han.
char32_t Representative(Category category, char32_t c) {
  const bool four_bytes = c >= 0x10000;
  switch (category) {
    case Category::kLu:
      return four_bytes ? 0x10400 : 0x1E00;
    case Category::kLl:
      return four_bytes ? 0x10428 : 0x1E01;
    case Category::kLt:
      return four_bytes ? 0x10400 : 0x1F88;
    case Category::kLm:
      return four_bytes ? 0x16B40 : 0x1D2C;
    case Category::kLo:
      return c >= 0x20000 ? 0x20000 : four_bytes ? 0x10450 : 0x0905;
    case Category::kMn:
      return four_bytes ? 0xE0100 : 0x20D0;
    case Category::kMc:
      return four_bytes ? 0x11000 : 0x0903;
    case Category::kMe:
      return four_bytes ? 0xE0100 : 0x20DD;
    case Category::kNd:
      return four_bytes ? 0x104A0 : 0x0966;
    case Category::kNl:
      return four_bytes ? 0x10140 : 0x2160;
    case Category::kNo:
      return four_bytes ? 0x10107 : 0x2460;
    case Category::kPd:
      return four_bytes ? 0x10EAD : 0x2010;
    case Category::kPo:
      return four_bytes ? 0x10100 : 0x2016;
    case Category::kSm:
      return four_bytes ? 0x1D6C1 : 0x2200;
    case Category::kSc:
      return four_bytes ? 0x11FDD : 0x20A0;
    case Category::kSk:
      return four_bytes ? 0x1F3FB : 0x1FBD;
    case Category::kSo:
      return four_bytes ? 0x1F600 : 0x2100;
    case Category::kCf:
      return four_bytes ? 0x110BD : 0x200B;
    default:
      return 0;  // no newer character has another category
  }
}

}  // namespace

CodePointSet::CodePointSet(std::span<const CodePointRange> ranges)
    : block_(0x1100, 0), bits_(4, 0) {
  for (const CodePointRange& range : ranges) {
    for (char32_t c = range.first; c <= range.last; ++c) {
      std::uint16_t& block = block_[c >> 8];
      if (block == 0) {
        block = static_cast<std::uint16_t>(bits_.size() / 4);
        bits_.resize(bits_.size() + 4, 0);
      }
      bits_[block * 4u + (c >> 6 & 3)] |= std::uint64_t{1} << (c & 63);
    }
  }
}

Category CategoryOf(char32_t c) {
  if (const NewerCharacters* newer = FindNewer(c)) return newer->category;
  return static_cast<Category>(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
}

bool IsWhitespace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsNumeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const Category category = CategoryOf(c);
  return category == Category::kNd || category == Category::kNl || category == Category::kNo ||
         (c >= 0x11DE0 && c <= 0x11DE9) || (c >= 0x16FF4 && c <= 0x16FF6);  // Unicode 17
}

bool IsPunctuation(char32_t c) {
  static const CodePointSet set(kPunctuation);
  return set.Contains(c);
}

bool IsWord(char32_t c) {
  switch (CategoryOf(c)) {
    case Category::kLu:
    case Category::kLl:
    case Category::kLt:
    case Category::kLm:
    case Category::kLo:
    case Category::kMn:
    case Category::kMc:
    case Category::kMe:
    case Category::kNd:
    case Category::kNl:
    case Category::kPc:
      return true;
    default:
      // Other_Alphabetic (circled and squared letters) and Join_Control.
      return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
             (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189) || c == 0x200C ||
             c == 0x200D;
  }
}

bool IsStrippedMark(char32_t c) {
  static const CodePointSet set(kStrippedMarks);
  return set.Contains(c);
}

bool IsBertDropped(char32_t c) {
  static const CodePointSet set(kBertDropped);
  return set.Contains(c);
}

bool IsBertMark(char32_t c) {
  static const CodePointSet set(kBertMarks);
  return set.Contains(c);
}

bool IsBertChinese(char32_t c) {
  static const CodePointSet set(kBertChinese);
  return set.Contains(c);
}

bool NeedsNormalizationCare(char32_t c) {
  static const CodePointSet set(kNfcCare);
  return set.Contains(c);
}

bool IsNormalizationOpaque(char32_t c) {
  static const CodePointSet set(kNormalizationOpaque);
  return set.Contains(c);
}

char32_t LowercaseOf(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
  const auto at = std::lower_bound(kNewerLowercase.begin(), kNewerLowercase.end(), c,
                                   [](const CodePointPair& p, char32_t x) { return p.from < x; });
  if (at != kNewerLowercase.end() && at->from == c) return at->to;
  if (c == 0x130) return 'i';
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

bool BlockHasStandIns(char32_t c) {
  static const std::array<bool, 0x1100> blocks = [] {
    std::array<bool, 0x1100> found{};
    for (const NewerCharacters& row : kNewerCharacters) {
      for (char32_t b = row.first >> 8; b <= row.last >> 8; ++b) found[b] = true;
    }
    found[kMongolianVowelSeparator >> 8] = true;
    return found;
  }();
  return blocks[c >> 8];
}

char32_t RegexStandIn(char32_t c) {
  // PCRE2 counts it as a space, as Unicode did before 6.3.
  if (c == kMongolianVowelSeparator) return Representative(Category::kCf, c);
  const NewerCharacters* newer = FindNewer(c);
  if (newer == nullptr) return c;
  const char32_t stand_in = Representative(newer->category, c);
  return stand_in == 0 ? c : stand_in;
}

}  // namespace ingot::model
