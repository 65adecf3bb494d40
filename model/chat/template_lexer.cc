#include "model/chat/template_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "model/chat/template_text.h"
#include "model/text/utf8.h"

namespace ingot::model::chat {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool IsNamePart(char c) { return IsNameStart(c) || IsDigit(c); }

// One kind of line end, and none at the end of the template.
std::string NormalizeLines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> Run() {
    while (at_ < source_.size()) INGOT_TRY(Root());
    Push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  Status Fail(const std::string& what) const {
    return InvalidArgument(fmt::format("line {}: {}", LineAt(at_), what));
  }
  std::uint32_t LineAt(std::size_t position) const {
    // Positions only grow, so lines are counted once.
    while (counted_ < position) lines_ += source_[counted_++] == '\n' ? 1 : 0;
    return lines_;
  }
  void Push(TokenKind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), LineAt(at_)});
  }
  bool StartsWith(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  void SkipSpace() { at_ = source_.size() - StripLeft(source_.substr(at_)).size(); }

  // Text up to the next tag, and the tag.
  Status Root() {
    std::size_t tag = at_;
    const auto opens = [&](std::size_t i) {
      return source_[i] == '{' && i + 1 < source_.size() &&
             (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#');
    };
    while (tag < source_.size() && !opens(tag)) ++tag;
    if (tag == source_.size()) {
      Data(source_.substr(at_));
      at_ = source_.size();
      return OkStatus();
    }
    const char type = source_[tag + 1];
    const std::size_t sign_at = tag + 2;
    const char sign = sign_at < source_.size() ? source_[sign_at] : '\0';
    const bool signed_tag = sign == '-' || sign == '+';
    Data(StripBefore(source_.substr(at_, tag - at_), signed_tag ? sign : '\0', type == '{'));
    at_ = sign_at + (signed_tag ? 1 : 0);
    if (type == '#') return Comment();
    if (type == '%') {
      if (const std::size_t end = EndOfWordTag(at_, "raw", /*trims=*/false);
          end != std::string_view::npos) {
        at_ = end;
        return Raw();
      }
    }
    Push(type == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, "");
    return Inside(type == '{');
  }

  // The text before a tag, by the tag's sign; tags but variables take the white space before them
  // where it reaches back to the line's start.
  std::string_view StripBefore(std::string_view text, char sign, bool variable) const {
    if (sign == '-') return StripRight(text);
    if (sign == '+' || variable) return text;
    const std::size_t newline = text.rfind('\n');
    const std::size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
    if (begin == 0 && !line_starting_) return text;
    return StripLeft(text.substr(begin)).empty() ? text.substr(0, begin) : text;
  }
  void Data(std::string_view text) {
    if (!text.empty()) Push(TokenKind::kData, std::string(text));
  }

  // Behind a tag's end, whose `sign` and closing characters were read.
  void AfterTag(char sign, bool trims) {
    if (sign == '-') {
      SkipSpace();
    } else if (sign != '+' && trims && at_ < source_.size() && source_[at_] == '\n') {
      ++at_;
    }
    line_starting_ = source_[at_ - 1] == '\n';
  }

  Status Comment() {
    const std::size_t close = source_.find("#}", at_);
    if (close == std::string_view::npos) return Fail("a comment does not end");
    const char sign = close > at_ ? source_[close - 1] : '\0';
    at_ = close + 2;
    AfterTag(sign, true);
    return OkStatus();
  }

  // Where a tag that begins behind `position` and holds `word` alone ends; npos where it is none.
  std::size_t EndOfWordTag(std::size_t position, std::string_view word, bool trims) {
    const std::size_t saved = at_;
    const bool saved_line = line_starting_;
    at_ = position;
    SkipSpace();
    std::size_t end = std::string_view::npos;
    if (StartsWith(word)) {
      at_ += word.size();
      SkipSpace();
      char sign = '\0';
      if (StartsWith("-%}") || (trims && StartsWith("+%}"))) sign = source_[at_++];
      if (StartsWith("%}")) {
        at_ += 2;
        AfterTag(sign, trims);
        end = at_;
      }
    }
    at_ = saved;
    if (end == std::string_view::npos) line_starting_ = saved_line;
    return end;
  }

  Status Raw() {
    for (std::size_t tag = source_.find("{%", at_); tag != std::string_view::npos;
         tag = source_.find("{%", tag + 1)) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      const bool signed_tag = sign == '-' || sign == '+';
      const bool starting = line_starting_;
      const std::size_t end = EndOfWordTag(tag + (signed_tag ? 3 : 2), "endraw", /*trims=*/true);
      if (end == std::string_view::npos) continue;
      const bool after = line_starting_;
      line_starting_ = starting;
      Data(StripBefore(source_.substr(at_, tag - at_), signed_tag ? sign : '\0', false));
      line_starting_ = after;
      at_ = end;
      return OkStatus();
    }
    return Fail("a raw block does not end");
  }

  // Tokens of a tag up to its end.
  Status Inside(bool variable) {
    const std::string_view close = variable ? "}}" : "%}";
    std::string open;  // brackets
    for (;;) {
      SkipSpace();
      if (at_ >= source_.size()) return Fail("a tag does not end");
      if (open.empty()) {
        const bool minus = source_[at_] == '-' && source_.substr(at_ + 1).starts_with(close);
        const bool plus =
            !variable && source_[at_] == '+' && source_.substr(at_ + 1).starts_with(close);
        if (minus || plus || StartsWith(close)) {
          Push(variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd, "");
          const char sign = minus ? '-' : plus ? '+' : '\0';
          at_ += close.size() + (minus || plus ? 1 : 0);
          AfterTag(sign, !variable);
          return OkStatus();
        }
      }
      INGOT_TRY(One(open));
    }
  }

  Status One(std::string& open) {
    const char c = source_[at_];
    if (IsNameStart(c)) {
      std::size_t end = at_;
      while (end < source_.size() && IsNamePart(source_[end])) ++end;
      Push(TokenKind::kName, std::string(source_.substr(at_, end - at_)));
      at_ = end;
      return OkStatus();
    }
    if (IsDigit(c)) return Number();
    if (c == '\'' || c == '"') return Literal(c);
    return Operator(open);
  }

  Status Number() {
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    std::string digits;
    std::size_t end = at_;
    const auto take_digits = [&](int base) {
      const auto good = [&](char d) {
        return base == 16 ? std::isxdigit(static_cast<unsigned char>(d)) != 0
                          : d >= '0' && d < '0' + base;
      };
      while (end < source_.size() &&
             (good(source_[end]) ||
              (source_[end] == '_' && end + 1 < source_.size() && good(source_[end + 1])))) {
        if (source_[end] != '_') digits += source_[end];
        ++end;
      }
    };
    int base = 10;
    if (source_[at_] == '0' && at_ + 2 < source_.size()) {
      const char marker = static_cast<char>(source_[at_ + 1] | 0x20);
      base = marker == 'x' ? 16 : marker == 'o' ? 8 : marker == 'b' ? 2 : 10;
      if (base != 10) end += 2;
    }
    take_digits(base);
    bool real = false;
    if (base == 10 && !after_dot) {
      if (end + 1 < source_.size() && source_[end] == '.' && IsDigit(source_[end + 1])) {
        digits += source_[end++];
        take_digits(10);
        real = true;
      }
      if (end < source_.size() && (source_[end] | 0x20) == 'e') {
        std::size_t exponent = end + 1;
        if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-'))
          ++exponent;
        if (exponent < source_.size() && IsDigit(source_[exponent])) {
          digits += source_.substr(end, exponent - end);
          end = exponent;
          take_digits(10);
          real = true;
        }
      }
    }
    std::int64_t value = 0;
    if (!real) {
      const auto [stop, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
      if (digits.empty() || error != std::errc{}) return Fail("an integer is beyond 64 bits");
      digits = std::to_string(value);
    }
    Push(real ? TokenKind::kFloat : TokenKind::kInteger, digits);
    at_ = end;
    return OkStatus();
  }

  // A text in quotes, its escapes as Python's unicode-escape reads them.
  Status Literal(char quote) {
    std::string out;
    std::size_t i = at_ + 1;
    for (;; ++i) {
      if (i >= source_.size()) return Fail("a text does not end");
      const char c = source_[i];
      if (c == quote) break;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (++i >= source_.size()) return Fail("a text does not end");
      INGOT_TRY(Escape(i, out));
    }
    Push(TokenKind::kText, std::move(out));
    at_ = i + 1;
    return OkStatus();
  }

  // The escape whose letter stands at `i`, which moves to its last character.
  Status Escape(std::size_t& i, std::string& out) {
    constexpr std::string_view kLetters = "abfnrtv\\'\"", kMean = "\a\b\f\n\r\t\v\\'\"";
    const char c = source_[i];
    if (c == '\n') return OkStatus();
    if (const std::size_t at = kLetters.find(c); at != std::string_view::npos) {
      out += kMean[at];
      return OkStatus();
    }
    const bool octal = c >= '0' && c <= '7';
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0 && !octal) {
      out += '\\';
      out += c;
      return OkStatus();
    }
    std::uint32_t code = 0;
    const char* first = source_.data() + i + (octal ? 0 : 1);
    const char* last =
        first +
        std::min<std::size_t>(octal ? 3 : digits,
                              static_cast<std::size_t>(source_.data() + source_.size() - first));
    const auto [stop, error] = std::from_chars(first, last, code, octal ? 8 : 16);
    const auto read = static_cast<std::size_t>(stop - first);
    if (error != std::errc{} || (!octal && read != digits) || code > 0x10FFFF ||
        (code >= 0xD800 && code < 0xE000))
      return Fail("a text has a bad escape");
    AppendUtf8(code, out);
    i += read - (octal ? 1 : 0);
    return OkStatus();
  }

  Status Operator(std::string& open) {
    static constexpr std::string_view kOperators[] = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto* found =
        std::ranges::find_if(kOperators, [&](auto text) { return StartsWith(text); });
    if (found == std::end(kOperators))
      return Fail(
          fmt::format("unexpected character '{}'",
                      source_.substr(at_, Utf8Length(static_cast<unsigned char>(source_[at_])))));
    const char c = (*found)[0];
    if (c == '(' || c == '[' || c == '{') open += c;
    if (c == ')' || c == ']' || c == '}') {
      const char wanted = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (open.empty() || open.back() != wanted) return Fail(fmt::format("unexpected '{}'", c));
      open.pop_back();
    }
    Push(TokenKind::kOperator, std::string(*found));
    at_ += found->size();
    return OkStatus();
  }

  std::string_view source_;
  std::size_t at_ = 0;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
  mutable std::size_t counted_ = 0;
  mutable std::uint32_t lines_ = 1;
};

}  // namespace

Result<std::vector<Token>> LexTemplate(std::string_view source) {
  const std::string lines = NormalizeLines(source);
  return Lexer(lines).Run();
}

}  // namespace ingot::model::chat
