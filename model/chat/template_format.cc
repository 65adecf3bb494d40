// Python's two ways to write values into a text: % and str.format.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "model/chat/template_text.h"
#include "model/text/utf8.h"

namespace ingot::model::chat {
namespace {

constexpr std::size_t kMaxWidth = 10000;

// [fill][align][sign][#][0][width][,][.precision][type], and what % shares with it.
struct Spec {
  std::string fill = " ";
  char align = 0, sign = '-', type = 0;
  bool comma = false, alternative = false;
  std::size_t width = 0;
  std::optional<std::size_t> precision;
};

Status BadSpec(std::string_view spec) {
  return InvalidArgument("format '" + std::string(spec) + "' is not understood");
}

std::size_t TakeNumber(std::string_view text, std::size_t& at) {
  std::size_t value = 0;
  while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0) {
    value = std::min(value * 10 + static_cast<std::size_t>(text[at] - '0'), kMaxWidth + 1);
    ++at;
  }
  return value;
}

Result<Spec> ParseSpec(std::string_view text) {
  Spec spec;
  std::size_t at = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const std::size_t first = text.empty() ? 0 : Utf8Length(static_cast<unsigned char>(text[0]));
  if (first > 0 && first < text.size() && is_align(text[first])) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    at = first + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[at++];
  }
  const auto take = [&](std::string_view any) {
    return at < text.size() && any.find(text[at]) != std::string_view::npos ? text[at++] : '\0';
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternative = take("#") != 0;
  if (take("0") != 0 && spec.align == 0) {
    spec.fill = "0";
    spec.align = '=';
  }
  spec.width = TakeNumber(text, at);
  spec.comma = take(",") != 0;
  if (take(".") != 0) spec.precision = TakeNumber(text, at);
  spec.type = take("sdifFeEgGxXobcr%");
  if (at != text.size() || spec.width > kMaxWidth || spec.precision.value_or(0) > kMaxWidth)
    return BadSpec(text);
  return spec;
}

std::string Pad(const std::string& body, const Spec& spec, char default_align) {
  const auto length = static_cast<std::size_t>(CountCharacters(body));
  if (length >= spec.width) return body;
  const std::size_t missing = spec.width - length;
  const auto fill = [&](std::size_t n) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i) out += spec.fill;
    return out;
  };
  switch (spec.align != 0 ? spec.align : default_align) {
    case '<':
      return body + fill(missing);
    case '^':
      return fill(missing / 2) + body + fill(missing - missing / 2);
    case '=': {
      const std::size_t sign = !body.empty() && (body[0] == '-' || body[0] == '+') ? 1 : 0;
      return body.substr(0, sign) + fill(missing) + body.substr(sign);
    }
    default:
      return fill(missing) + body;
  }
}

std::string WithCommas(std::string digits) {
  const std::size_t begin = digits[0] == '-' ? 1 : 0;
  std::size_t end = digits.find_first_not_of("0123456789", begin);
  if (end == std::string::npos) end = digits.size();
  for (std::size_t at = end; at > begin + 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

// %g as Python and C write it.
std::string General(double value, std::size_t precision, char type) {
  char buffer[64];
  const int n = std::snprintf(buffer, sizeof buffer, type == 'G' ? "%.*G" : "%.*g",
                              static_cast<int>(std::min<std::size_t>(precision, 50)), value);
  return std::string(buffer, static_cast<std::size_t>(n));
}

Result<std::string> FormatNumber(const Value& value, const Spec& spec) {
  std::int64_t i = 0;
  double d = 0;
  std::string body;
  switch (spec.type) {
    case 'd':
    case 'i':
    case 'x':
    case 'X':
    case 'o':
    case 'b': {
      if (!value.AsInt(i)) {
        if (value.Float() == nullptr || (spec.type != 'd' && spec.type != 'i'))
          return InvalidArgument("a number is needed, not " + value.TypeName());
        if (!(std::abs(*value.Float()) < 9e18)) return InvalidArgument("the number is too large");
        i = static_cast<std::int64_t>(*value.Float());
      }
      const std::uint64_t magnitude =
          i < 0 ? 0 - static_cast<std::uint64_t>(i) : static_cast<std::uint64_t>(i);
      body = spec.type == 'x'   ? fmt::format("{:x}", magnitude)
             : spec.type == 'X' ? fmt::format("{:X}", magnitude)
             : spec.type == 'o' ? fmt::format("{:o}", magnitude)
             : spec.type == 'b' ? fmt::format("{:b}", magnitude)
                                : fmt::format("{}", magnitude);
      if (i < 0) body = "-" + body;
      break;
    }
    default: {
      if (!value.AsNumber(d)) return InvalidArgument("a number is needed, not " + value.TypeName());
      const std::size_t precision = spec.precision.value_or(6);
      if (spec.type == '%') {
        body = fmt::format("{:.{}f}%", d * 100, precision);
      } else if (spec.type == 'e' || spec.type == 'E') {
        body = fmt::format("{:.{}e}", d, precision);
      } else if (spec.type == 'g' || spec.type == 'G') {
        body = General(d, std::max<std::size_t>(precision, 1), spec.type);
      } else {
        body = fmt::format("{:.{}f}", d, precision);
      }
    }
  }
  if (spec.comma) body = WithCommas(body);
  if (spec.sign != '-' && body[0] != '-') body = spec.sign + body;
  return Pad(body, spec, '>');
}

// format(value, spec) of texts and numbers.
Result<std::string> FormatValue(const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return ToText(value);
  INGOT_ASSIGN(const Spec spec, ParseSpec(spec_text));
  const bool number = value.IsNumber();
  if (number && spec.type == 0) {
    if (value.Float() != nullptr && spec.precision) {
      Spec general = spec;
      general.type = 'g';
      return FormatNumber(value, general);
    }
    std::string body =
        value.Bool() != nullptr ? std::to_string(*value.Bool() ? 1 : 0) : ToText(value);
    if (spec.comma) body = WithCommas(body);
    if (spec.sign != '-' && body[0] != '-') body = spec.sign + body;
    return Pad(body, spec, '>');
  }
  if (spec.type != 0 && spec.type != 's') return FormatNumber(value, spec);
  if (number || (value.AsText() == nullptr)) return BadSpec(spec_text);
  std::string body = ToText(value);
  if (spec.precision) {
    const auto characters = Characters(body);
    if (*spec.precision < characters.size())
      body.resize(static_cast<std::size_t>(characters[*spec.precision].data() - body.data()));
  }
  return Pad(body, spec, '<');
}

}  // namespace

Result<std::string> FormatPercent(std::string_view format, const std::vector<Value>& arguments,
                                  const Value* mapping) {
  std::string out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < format.size();) {
    if (format[i] != '%') {
      out += format[i++];
      continue;
    }
    if (++i < format.size() && format[i] == '%') {
      out += format[i++];
      continue;
    }
    const Value* value = nullptr;
    if (i < format.size() && format[i] == '(') {
      const std::size_t close = format.find(')', i);
      if (close == std::string_view::npos) return InvalidArgument("incomplete format key");
      const Dict* dict = mapping == nullptr ? nullptr : mapping->AsDict();
      value = dict == nullptr ? nullptr : dict->Find(format.substr(i + 1, close - i - 1));
      if (value == nullptr) return InvalidArgument("a format's key is not in its mapping");
      i = close + 1;
    }
    Spec spec;
    spec.align = '>';
    for (; i < format.size() && std::string_view("-+ #0").find(format[i]) != std::string_view::npos;
         ++i) {
      if (format[i] == '-') spec.align = '<';
      if (format[i] == '0' && spec.align == '>') {
        spec.fill = "0";
        spec.align = '=';
      }
      if (format[i] == '+' || format[i] == ' ') spec.sign = format[i];
    }
    spec.width = TakeNumber(format, i);
    if (i < format.size() && format[i] == '.') spec.precision = TakeNumber(format, ++i);
    if (i >= format.size() || spec.width > kMaxWidth || spec.precision.value_or(0) > kMaxWidth)
      return InvalidArgument("incomplete format");
    spec.type = format[i++];
    if (value == nullptr) {
      if (next == arguments.size())
        return InvalidArgument("not enough arguments for format string");
      value = &arguments[next++];
    }
    if (spec.type == 's' || spec.type == 'r') {
      std::string body = spec.type == 's' ? ToText(*value) : ToRepr(*value);
      if (spec.precision) {
        const auto characters = Characters(body);
        if (*spec.precision < characters.size())
          body.resize(static_cast<std::size_t>(characters[*spec.precision].data() - body.data()));
      }
      if (spec.align == '=') {
        spec.align = '>';
        spec.fill = " ";
      }
      out += Pad(body, spec, '>');
    } else if (std::string_view("difFeEgGxXo").find(spec.type) != std::string_view::npos) {
      INGOT_ASSIGN(const std::string body, FormatNumber(*value, spec));
      out += body;
    } else {
      return InvalidArgument(std::string("unsupported format character '") + spec.type + "'");
    }
  }
  if (next < arguments.size() && mapping == nullptr)
    return InvalidArgument("not all arguments converted during string formatting");
  return out;
}

Result<std::string> FormatBraces(std::string_view format, const std::vector<Value>& arguments,
                                 const std::vector<std::pair<std::string, Value>>& named) {
  std::string out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    const bool doubled = i + 1 < format.size() && format[i + 1] == c;
    if (c != '{' && c != '}') {
      out += c;
      continue;
    }
    if (doubled) {
      out += c;
      ++i;
      continue;
    }
    const std::size_t close = format.find('}', i);
    if (c == '}' || close == std::string_view::npos)
      return InvalidArgument(std::string("single '") + c + "' in a format string");
    std::string_view field = format.substr(i + 1, close - i - 1);
    i = close;
    const std::size_t colon = field.find(':');
    const std::string_view spec =
        colon == std::string_view::npos ? std::string_view() : field.substr(colon + 1);
    field = field.substr(0, colon);
    const std::size_t bang = field.find('!');
    const std::string_view conversion =
        bang == std::string_view::npos ? std::string_view() : field.substr(bang + 1);
    field = field.substr(0, bang);
    const Value* value = nullptr;
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), index);
    if (field.empty()) index = next++;
    if (!field.empty() && error == std::errc{} && next > 0)
      return InvalidArgument("a format's fields are numbered by hand and by themselves");
    if (field.empty() || (error == std::errc{} && end == field.data() + field.size())) {
      if (index < arguments.size()) value = &arguments[index];
    } else {
      for (const auto& [name, given] : named)
        if (name == field) value = &given;
    }
    if (value == nullptr)
      return InvalidArgument("a format's field '" + std::string(field) + "' has no argument");
    const Value shown = conversion == "r" ? Value(ToRepr(*value)) : *value;
    INGOT_ASSIGN(const std::string body, FormatValue(shown, spec));
    out += body;
  }
  return out;
}

}  // namespace ingot::model::chat
