#include "untrusted/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "untrusted/utf8_step.h"

namespace ingot::untrusted {
namespace {

struct Range {
  char32_t first, last;
};

// Change what stands around them: never printed.
constexpr Range kCommands[] = {
    {0x00, 0x1F},        // C0
    {0x7F, 0x9F},        // DEL, C1
    {0x061C, 0x061C},    // Arabic letter mark
    {0x200E, 0x200F},    // left-to-right and right-to-left marks
    {0x2028, 0x202E},    // line and paragraph separators, embeddings, overrides
    {0x2066, 0x206F},    // isolates, deprecated format characters
    {0xFFF9, 0xFFFB},    // interlinear annotations
    {0xE0000, 0xE0FFF},  // tags and other characters that no font shows
};

// Cannot be seen, or not be told from others: not printed where a line is all there is.
constexpr Range kUnseen[] = {
    {0xA0, 0xA0},     {0xAD, 0xAD},     {0x034F, 0x034F}, {0x115F, 0x1160},
    {0x1680, 0x1680}, {0x17B4, 0x17B5}, {0x180B, 0x180F}, {0x2000, 0x200D},
    {0x202F, 0x202F}, {0x205F, 0x2065}, {0x2800, 0x2800}, {0x3000, 0x3000},
    {0x3164, 0x3164}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0},
};

template <std::size_t N>
bool In(const Range (&ranges)[N], char32_t c) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [&](const Range& range) { return c >= range.first && c <= range.last; });
}

template <typename Keep>
std::string Escape(std::string_view text, const Keep& keep) {
  std::string out;
  out.reserve(text.size());
  char32_t before = 0;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Step step = ClassifyUtf8(text.substr(i));
    if (step.kind != Utf8Kind::kCharacter) {
      for (const std::size_t end = i + step.bytes; i < end; ++i)
        out += fmt::format("\\x{{{:02x}}}", static_cast<unsigned char>(text[i]));
      before = 0;
      continue;
    }
    std::size_t next = i;
    const char32_t c = NextCodePoint(text, next);
    if (keep(c, before))
      out.append(text, i, step.bytes);
    else
      out += fmt::format("\\u{{{:x}}}", static_cast<std::uint32_t>(c));
    before = c;
    i = next;
  }
  return out;
}

}  // namespace

std::string Printable(std::string_view text) {
  return Escape(text, [](char32_t c, char32_t before) {
    return !In(kCommands, c) && !In(kUnseen, c) && !(c == ' ' && before == ' ');
  });
}

std::string PrintableBlock(std::string_view text) {
  return Escape(text,
                [](char32_t c, char32_t) { return c == '\n' || c == '\t' || !In(kCommands, c); });
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string PrintableJson(const nlohmann::json& json) {
  using Json = nlohmann::json;
  return json.dump(1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

}  // namespace ingot::untrusted
