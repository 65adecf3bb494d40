// Characters on which the reference tokenizers disagree with the Unicode 14 data of PCRE2 and
// utf8proc. The tables are sorted, without overlap; tools/fixtures/make_unicode_tables.py writes
// them. Thread rule: constants.
#pragma once

#include <cstdint>
#include <span>

namespace ingot::model {

struct CodePointRange {
  char32_t first;
  char32_t last;
};
struct CodePointPair {
  char32_t from;
  char32_t to;
};

// Unicode's general categories, with Unicode's names.
enum class Category : std::uint8_t {
  kCn,
  kLu,
  kLl,
  kLt,
  kLm,
  kLo,
  kMn,
  kMc,
  kMe,
  kNd,
  kNl,
  kNo,
  kPc,
  kPd,
  kPs,
  kPe,
  kPi,
  kPf,
  kPo,
  kSm,
  kSc,
  kSk,
  kSo,
  kZs,
  kZl,
  kZp,
  kCc,
  kCf,
  kCs,
  kCo,
};

struct NewerCharacters {
  char32_t first;
  char32_t last;
  Category category;
};

extern const std::span<const CodePointRange> kNfcCare;
extern const std::span<const CodePointRange> kNormalizationOpaque;
extern const std::span<const CodePointRange> kStrippedMarks;
extern const std::span<const CodePointRange> kPunctuation;
extern const std::span<const CodePointRange> kBertDropped;
extern const std::span<const CodePointRange> kBertMarks;
extern const std::span<const CodePointRange> kBertChinese;
extern const std::span<const NewerCharacters> kNewerCharacters;
extern const std::span<const CodePointPair> kNewerLowercase;

}  // namespace ingot::model
