#include "model/chat/template_text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "model/text/unicode_class.h"
#include "model/text/utf8.h"

namespace ingot::model::chat {
namespace {

// Unassigned characters, controls, separators but for the space: repr() writes their number.
bool IsPrintable(char32_t c) {
  if (c == ' ') return true;
  switch (CategoryOf(c)) {
    case Category::kCc:
    case Category::kCf:
    case Category::kCs:
    case Category::kCo:
    case Category::kCn:
    case Category::kZl:
    case Category::kZp:
    case Category::kZs:
      return false;
    default:
      return true;
  }
}

std::string QuotedRepr(std::string_view text) {
  const bool single =
      text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const char quote = single ? '\'' : '"';
  std::string out(1, quote);
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t begin = i;
    const char32_t c = NextCodePoint(text, i);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (IsPrintable(c)) {
      out += text.substr(begin, i - begin);
    } else {
      const auto number = static_cast<std::uint32_t>(c);
      out += c < 0x100     ? fmt::format("\\x{:02x}", number)
             : c < 0x10000 ? fmt::format("\\u{:04x}", number)
                           : fmt::format("\\U{:08x}", number);
    }
  }
  return out + quote;
}

std::string JoinedRepr(const std::vector<Value>& items) {
  std::string out;
  for (const Value& item : items) out += (out.empty() ? "" : ", ") + ToRepr(item);
  return out;
}

std::string SequenceRepr(const Sequence& list) {
  const std::string items = JoinedRepr(list.items);
  switch (list.kind) {
    case SequenceKind::kTuple:
      return "(" + items + (list.items.size() == 1 ? ",)" : ")");
    case SequenceKind::kView:
      return "dict_items([" + items + "])";
    case SequenceKind::kGenerator:
      return "<generator object>";
    default:
      return "[" + items + "]";
  }
}

void AppendJsonText(std::string_view text, bool ensure_ascii, std::string& out) {
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t begin = i;
    const char32_t c = NextCodePoint(text, i);
    constexpr std::string_view kShort = "\"\\\n\r\t\f\b", kNames = "\"\\nrtfb";
    const std::size_t at = c < 0x80 ? kShort.find(static_cast<char>(c)) : std::string_view::npos;
    if (at != std::string_view::npos) {
      out += '\\';
      out += kNames[at];
    } else if (c < 0x20 || (c >= 0x7F && ensure_ascii && c < 0x10000)) {
      out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c));
    } else if (c >= 0x10000 && ensure_ascii) {
      const auto rest = static_cast<std::uint32_t>(c) - 0x10000;
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
    } else {
      out += text.substr(begin, i - begin);
    }
  }
  out += '"';
}

// json's form of a scalar; nullopt for what is none.
std::optional<std::string> JsonScalar(const Value& value) {
  std::int64_t i = 0;
  if (value.IsNone()) return "null";
  if (const bool* b = value.Bool()) return *b ? "true" : "false";
  if (value.AsInt(i)) return std::to_string(i);
  if (const double* d = value.Float()) {
    if (std::isnan(*d)) return "NaN";
    if (std::isinf(*d)) return *d > 0 ? "Infinity" : "-Infinity";
    return FloatRepr(*d);
  }
  return std::nullopt;
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  Status Write(const Value& value, std::size_t level) {
    if (const Text* text = value.AsText()) {
      AppendJsonText(text->bytes, style_.ensure_ascii, out);
    } else if (const auto scalar = JsonScalar(value)) {
      out += *scalar;
    } else if (const Dict* dict = value.AsDict()) {
      return WriteDict(*dict, level);
    } else if (const Sequence* list = value.AsSequence();
               list != nullptr &&
               (list->kind == SequenceKind::kList || list->kind == SequenceKind::kTuple)) {
      return WriteList(*list, level);
    } else {
      return InvalidArgument("a value of type " + value.TypeName() + " is not JSON serializable");
    }
    return OkStatus();
  }
  std::string out;

 private:
  void Line(std::size_t level) {
    if (!style_.indent) return;
    out += '\n';
    for (std::size_t i = 0; i < level; ++i) out += *style_.indent;
  }
  Status WriteList(const Sequence& list, std::size_t level) {
    out += '[';
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      Line(level + 1);
      INGOT_TRY(Write(list.items[i], level + 1));
    }
    if (!list.items.empty()) Line(level);
    out += ']';
    return OkStatus();
  }
  Status WriteDict(const Dict& dict, std::size_t level) {
    std::vector<std::pair<std::string, const Value*>> items;
    for (const auto& [key, value] : dict.items) {
      const auto scalar = JsonScalar(key);
      if (!scalar && key.AsText() == nullptr)
        return InvalidArgument("keys of JSON are texts, not " + key.TypeName());
      items.emplace_back(scalar ? *scalar : key.AsText()->bytes, &value);
    }
    if (style_.sort_keys)
      std::ranges::stable_sort(items, {}, [](const auto& item) { return item.first; });
    out += '{';
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      Line(level + 1);
      AppendJsonText(items[i].first, style_.ensure_ascii, out);
      out += style_.key_separator;
      INGOT_TRY(Write(*items[i].second, level + 1));
    }
    if (!items.empty()) Line(level);
    out += '}';
    return OkStatus();
  }
  const JsonStyle& style_;
};

bool InSet(char32_t c, const std::optional<std::string>& chars) {
  if (!chars) return IsPythonSpace(c);
  for (std::size_t i = 0; i < chars->size();)
    if (NextCodePoint(*chars, i) == c) return true;
  return false;
}

}  // namespace

std::string FloatRepr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string digits(buffer, end.ptr);
  const std::size_t e = digits.find('e');
  const int exponent = std::atoi(digits.c_str() + e + 1);
  if (exponent < -4 || exponent >= 16) return digits;
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  return out.find('.') == std::string::npos ? out + ".0" : out;
}

std::string ToRepr(const Value& value) {
  if (const Text* text = value.AsText())
    return text->safe ? "Markup(" + QuotedRepr(text->bytes) + ")" : QuotedRepr(text->bytes);
  if (value.IsUndefined()) return "Undefined";
  return ToText(value);
}

std::string ToText(const Value& value) {
  std::int64_t i = 0;
  if (const Text* text = value.AsText()) return text->bytes;
  if (value.IsNone()) return "None";
  if (value.IsUndefined()) return {};
  if (const bool* b = value.Bool()) return *b ? "True" : "False";
  if (value.AsInt(i)) return std::to_string(i);
  if (const double* d = value.Float()) return FloatRepr(*d);
  if (const Sequence* list = value.AsSequence()) return SequenceRepr(*list);
  if (const Dict* dict = value.AsDict()) {
    std::string out;
    for (const auto& [key, item] : dict->items)
      out += (out.empty() ? "" : ", ") + ToRepr(key) + ": " + ToRepr(item);
    return "{" + out + "}";
  }
  return "<" + value.TypeName() + ">";
}

Result<std::string> ToJson(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  INGOT_TRY(writer.Write(value, 0));
  return std::move(writer.out);
}

std::int64_t CountCharacters(std::string_view text) {
  return std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::vector<std::string_view> Characters(std::string_view text) {
  std::vector<std::string_view> out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t bytes = Utf8Length(static_cast<unsigned char>(text[i]));
    out.push_back(text.substr(i, bytes));
    i += bytes;
  }
  return out;
}

bool IsPythonSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::string_view StripLeft(std::string_view text, const std::optional<std::string>& chars) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t next = begin;
    if (!InSet(NextCodePoint(text, next), chars)) break;
    begin = next;
  }
  return text.substr(begin);
}

std::string_view StripRight(std::string_view text, const std::optional<std::string>& chars) {
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t begin = PreviousStart(text, end);
    std::size_t next = begin;
    if (!InSet(NextCodePoint(text, next), chars)) break;
    end = begin;
  }
  return text.substr(0, end);
}

std::string Lower(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const char32_t c = NextCodePoint(text, i);
    AppendUtf8(LowercaseOf(c), out);
    if (c == 0x130) AppendUtf8(0x307, out);
  }
  return out;
}

std::string Upper(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const char32_t c = NextCodePoint(text, i);
    if (c == 0xDF) {
      out += "SS";
    } else {
      AppendUtf8(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))), out);
    }
  }
  return out;
}

std::string Capitalize(std::string_view text) {
  if (text.empty()) return {};
  std::size_t first = 0;
  NextCodePoint(text, first);
  return Upper(text.substr(0, first)) + Lower(text.substr(first));
}

}  // namespace ingot::model::chat
