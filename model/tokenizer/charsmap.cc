#include "model/tokenizer/charsmap.h"

#include <utf8proc.h>

#include <cstring>
#include <utility>

#include "model/text/base64.h"
#include "model/text/json_fields.h"
#include "model/text/unicode_class.h"
#include "model/text/utf8.h"

namespace ingot::model {
namespace {

// The reference asks for a whole grapheme only where it has fewer bytes.
constexpr std::size_t kMaxGraphemeBytes = 6;
// Of rules that one text begins with, SentencePiece looks at so many.
constexpr std::size_t kMaxRulesTried = 32;

std::uint32_t Label(std::uint32_t unit) { return unit & (0x80000000u | 0xFFu); }
bool HasLeaf(std::uint32_t unit) { return (unit >> 8 & 1) != 0; }
std::uint32_t Offset(std::uint32_t unit) { return (unit >> 10) << ((unit & 0x200u) >> 6); }
std::uint32_t Value(std::uint32_t unit) { return unit & 0x7FFFFFFFu; }

// A character as the grapheme rules of the reference's Unicode see it: younger marks than
// utf8proc's by an older one of their kind.
utf8proc_int32_t ForBreaks(char32_t c) { return static_cast<utf8proc_int32_t>(RegexStandIn(c)); }

// Where the grapheme that begins at `begin` ends, or any place kMaxGraphemeBytes or more behind it.
std::size_t GraphemeEnd(std::string_view text, std::size_t begin) {
  std::size_t i = begin;
  utf8proc_int32_t state = 0;
  utf8proc_int32_t previous = ForBreaks(NextCodePoint(text, i));
  while (i < text.size() && i - begin < kMaxGraphemeBytes) {
    std::size_t next = i;
    const utf8proc_int32_t c = ForBreaks(NextCodePoint(text, next));
    if (utf8proc_grapheme_break_stateful(previous, c, &state)) return i;
    previous = c;
    i = next;
  }
  return i;
}

class Precompiled : public Normalizer {
 public:
  explicit Precompiled(Charsmap map) : map_(std::move(map)) {}

  Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                 TextScratch& scratch) const override {
    storage.clear();
    storage.reserve(text.size() + text.size() / 8);
    for (std::size_t i = 0; i < text.size();) {
      if (!scratch.growth.Fits(text.size(), storage.size())) break;
      const std::size_t end = GraphemeEnd(text, i);
      const bool whole = end - i < kMaxGraphemeBytes;
      if (const auto found = whole ? map_.Find(text.substr(i, end - i)) : std::nullopt) {
        storage += *found;
        i = end;
        continue;
      }
      // A long grapheme, character by character.
      const std::size_t stop = whole ? end : LongGraphemeEnd(text, i);
      while (i < stop) {
        const std::size_t at = i;
        NextCodePoint(text, i);
        storage += map_.Find(text.substr(at, i - at)).value_or(text.substr(at, i - at));
      }
    }
    INGOT_TRY(scratch.growth.Take(text.size(), storage.size()));
    return std::string_view(storage);
  }

 private:
  static std::size_t LongGraphemeEnd(std::string_view text, std::size_t begin) {
    std::size_t i = begin;
    utf8proc_int32_t state = 0;
    utf8proc_int32_t previous = ForBreaks(NextCodePoint(text, i));
    while (i < text.size()) {
      std::size_t next = i;
      const utf8proc_int32_t c = ForBreaks(NextCodePoint(text, next));
      if (utf8proc_grapheme_break_stateful(previous, c, &state)) break;
      previous = c;
      i = next;
    }
    return i;
  }

  Charsmap map_;
};

}  // namespace

Result<Charsmap> Charsmap::Parse(std::string_view bytes) {
  std::uint32_t trie_bytes = 0;
  if (bytes.size() < sizeof(trie_bytes))
    return Corruption("charsmap of " + std::to_string(bytes.size()) + " bytes");
  std::memcpy(&trie_bytes, bytes.data(), sizeof(trie_bytes));
  bytes.remove_prefix(sizeof(trie_bytes));
  if (trie_bytes > bytes.size() || trie_bytes % 4 != 0 || trie_bytes == 0)
    return Corruption("charsmap's trie has " + std::to_string(trie_bytes) + " of " +
                      std::to_string(bytes.size()) + " bytes");
  Charsmap map;
  map.units_.resize(trie_bytes / 4);
  std::memcpy(map.units_.data(), bytes.data(), trie_bytes);
  map.replacements_ = bytes.substr(trie_bytes);
  if (!IsUtf8(map.replacements_))
    return Corruption("charsmap's replacements are not UTF-8");
  return map;
}

std::optional<std::string_view> Charsmap::Find(std::string_view text) const {
  std::size_t node = Offset(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) return std::nullopt;
    node ^= byte;
    if (node >= units_.size()) return std::nullopt;
    const std::uint32_t unit = units_[node];
    if (Label(unit) != byte) return std::nullopt;
    node ^= Offset(unit);
    if (!HasLeaf(unit)) continue;
    if (node >= units_.size()) return std::nullopt;
    return ReplacementAt(Value(units_[node]));
  }
  return std::nullopt;
}

std::string_view Charsmap::ReplacementAt(std::uint32_t begin) const {
  if (begin >= replacements_.size()) return {};
  const std::string_view rest = std::string_view(replacements_).substr(begin);
  return rest.substr(0, rest.find('\0'));
}

std::optional<std::string_view> Charsmap::FindLongest(std::string_view text,
                                                      std::size_t& bytes) const {
  std::optional<std::string_view> longest;
  std::size_t found = 0;
  std::size_t node = Offset(units_[0]);
  for (std::size_t i = 0; i < text.size() && found < kMaxRulesTried; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size()) break;
    const std::uint32_t unit = units_[node];
    if (Label(unit) != byte) break;
    node ^= Offset(unit);
    if (!HasLeaf(unit)) continue;
    if (node >= units_.size()) break;
    longest = ReplacementAt(Value(units_[node]));
    bytes = i + 1;
    ++found;
  }
  return longest;
}

Result<std::unique_ptr<Normalizer>> ParseCharsmap(const nlohmann::json& spec) {
  if (FindField(spec, "precompiled_charsmap") == nullptr)
    return Unsupported("normalizer Precompiled without a charsmap is not supported");
  INGOT_ASSIGN(const std::string text, StringField(spec, "precompiled_charsmap"));
  INGOT_ASSIGN(const std::string bytes, DecodeBase64(text).At("precompiled_charsmap"));
  INGOT_ASSIGN(Charsmap map, Charsmap::Parse(bytes));
  return std::unique_ptr<Normalizer>(std::make_unique<Precompiled>(std::move(map)));
}

}  // namespace ingot::model
