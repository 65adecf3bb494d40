#include "model/text/regex_translate.h"

#include <array>
#include <utility>
#include <vector>

namespace ingot::model {
namespace {

constexpr int kMaxClassDepth = 16;

// Oniguruma's \w: letters, marks, numbers but most of No, connectors, and Other_Alphabetic symbols.
constexpr std::string_view kWordMembers =
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}\\x{24b6}-\\x{24e9}"
    "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";

constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kPosixMembers = {{
    {"alpha", "\\p{L}\\p{M}\\p{Nl}"},
    {"digit", "\\p{Nd}"},
    {"alnum", "\\p{L}\\p{M}\\p{Nl}\\p{Nd}"},
    {"upper", "\\p{Lu}"},
    {"lower", "\\p{Ll}"},
    {"punct", "\\p{P}\\p{S}"},
    {"space", "\\s"},
    {"blank", "\\t\\p{Zs}"},
    {"cntrl", "\\p{Cc}"},
    {"xdigit", "0-9A-Fa-f"},
    {"word", kWordMembers},
    {"ascii", "\\x00-\\x7f"},
}};

std::string_view PosixMembers(std::string_view name) {
  for (const auto& [known, members] : kPosixMembers) {
    if (known == name) return members;
  }
  return {};
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  Result<std::string> Run() {
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        INGOT_TRY(EscapeOutside());
      } else if (c == '[') {
        INGOT_ASSIGN(std::string members, Class(0));
        out_ += members;
      } else if (c == '(') {
        INGOT_TRY(Group());
      } else if (c == '{') {
        Interval();
      } else {
        out_ += c;
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  bool LooksAt(std::string_view what) const { return in_.substr(at_, what.size()) == what; }

  Status Bad(std::string_view what) const {
    return Unsupported("regular expression " + std::string(in_) + ": " + std::string(what) +
                       " at byte " + std::to_string(at_) + " is not supported");
  }

  // Copies \x{..}, \uXXXX, \p{..} and one-character escapes; at_ stands on the backslash.
  Status CopyEscape(std::string& out) {
    const char kind = in_[at_ + 1];
    if (kind == 'u' && at_ + 6 <= in_.size()) {
      out += "\\x{" + std::string(in_.substr(at_ + 2, 4)) + "}";
      at_ += 6;
      return OkStatus();
    }
    if ((kind == 'p' || kind == 'P' || kind == 'x') && at_ + 2 < in_.size() &&
        in_[at_ + 2] == '{') {
      const std::size_t close = in_.find('}', at_);
      if (close == std::string_view::npos) return Corruption("regular expression: unclosed \\p{");
      const std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
      const std::string_view members = kind == 'p' ? PosixMembers(Lower(name)) : std::string_view();
      if (members.empty()) {
        out.append(in_.substr(at_, close + 1 - at_));
      } else {
        out += Wrap(members);
      }
      at_ = close + 1;
      return OkStatus();
    }
    out.append(in_.substr(at_, 2));
    at_ += 2;
    return OkStatus();
  }

  std::string Lower(std::string_view name) {
    lowered_.clear();
    for (const char c : name) lowered_ += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return lowered_;
  }
  std::string Wrap(std::string_view members) const {
    return in_class_ ? std::string(members) : "[" + std::string(members) + "]";
  }

  Status EscapeOutside() {
    if (at_ + 1 >= in_.size()) return Corruption("regular expression ends in a backslash");
    const std::string word(kWordMembers);
    std::string replaced;
    switch (in_[at_ + 1]) {
      case 'w':
        replaced = "[" + word + "]";
        break;
      case 'W':
        replaced = "[^" + word + "]";
        break;
      case 'h':
        replaced = "[0-9A-Fa-f]";
        break;
      case 'H':
        replaced = "[^0-9A-Fa-f]";
        break;
      case 'b':
        replaced =
            "(?:(?<=[" + word + "])(?![" + word + "])|(?<![" + word + "])(?=[" + word + "]))";
        break;
      case 'B':
        replaced =
            "(?:(?<=[" + word + "])(?=[" + word + "])|(?<![" + word + "])(?![" + word + "]))";
        break;
      case 'y':
      case 'Y':
      case 'C':
        return Bad("this escape");
      default:
        return CopyEscape(out_);
    }
    out_ += replaced;
    at_ += 2;
    return OkStatus();
  }

  // A group's opening. Oniguruma's (?m) is what others call (?s).
  Status Group() {
    if (LooksAt("(?~") || LooksAt("(?{") || LooksAt("(*")) return Bad("this group");
    out_ += '(';
    ++at_;
    if (!LooksAt("?")) return OkStatus();
    std::size_t end = at_ + 1;
    while (end < in_.size() &&
           (in_[end] == 'i' || in_[end] == 'm' || in_[end] == 'x' || in_[end] == '-')) {
      ++end;
    }
    if (end == at_ + 1 || end >= in_.size() || (in_[end] != ':' && in_[end] != ')')) {
      return OkStatus();
    }
    for (; at_ < end; ++at_) out_ += in_[at_] == 'm' ? 's' : in_[at_];
    return OkStatus();
  }

  // {,n} is {0,n}; a + behind an interval repeats it instead of making it possessive.
  void Interval() {
    std::size_t end = at_ + 1;
    while (end < in_.size() && ((in_[end] >= '0' && in_[end] <= '9') || in_[end] == ',')) ++end;
    if (end == at_ + 1 || end >= in_.size() || in_[end] != '}') {
      out_ += "\\{";
      ++at_;
      return;
    }
    const std::string_view body = in_.substr(at_ + 1, end - at_ - 1);
    out_ += body.front() == ',' ? "{0" : "{";
    out_ += body;
    out_ += '}';
    at_ = end + 1;
    if (LooksAt("+")) {
      out_ += "{1,}";
      ++at_;
    }
  }

  // [...] with nested classes and &&; at_ stands on the bracket.
  Result<std::string> Class(int depth) {
    if (depth >= kMaxClassDepth) return Bad("a class nested so deeply");
    const bool was_in_class = std::exchange(in_class_, true);
    ++at_;
    const bool negated = LooksAt("^");
    if (negated) ++at_;
    std::vector<std::string> operands(1);
    bool first = true;
    while (at_ < in_.size() && (first || in_[at_] != ']')) {
      first = false;
      if (LooksAt("&&")) {
        operands.emplace_back();
        at_ += 2;
        continue;
      }
      INGOT_TRY(Member(depth, operands.back()));
    }
    if (at_ >= in_.size()) {
      return Corruption("regular expression " + std::string(in_) + ": unclosed [");
    }
    ++at_;
    in_class_ = was_in_class;
    return Join(negated, operands);
  }

  // One member of a class, appended to `out`.
  Status Member(int depth, std::string& out) {
    if (LooksAt("[:")) {
      const std::size_t close = in_.find(":]", at_);
      if (close != std::string_view::npos) {
        const bool inverted = in_.substr(at_ + 2, 1) == "^";
        const std::size_t begin = at_ + (inverted ? 3 : 2);
        const std::string_view members = PosixMembers(in_.substr(begin, close - begin));
        if (members.empty() || inverted) return Bad("this POSIX bracket");
        out += members;
        at_ = close + 2;
        return OkStatus();
      }
    }
    if (in_[at_] == '[') {
      INGOT_ASSIGN(std::string inner, Class(depth + 1));
      if (inner.size() < 2 || inner.front() != '[') return Bad("&& in a nested class");
      if (inner[1] != '^') {
        out += inner.substr(1, inner.size() - 2);
        return OkStatus();
      }
      // A negated class can stand alone only: as the whole of a class or of an operand of &&.
      if (!out.empty() || (!LooksAt("]") && !LooksAt("&&"))) return Bad("a nested negated class");
      out = inner.substr(1, inner.size() - 2);
      return OkStatus();
    }
    if (in_[at_] != '\\') {
      if (out.empty() && in_[at_] == '^') out += '\\';
      out += in_[at_++];
      return OkStatus();
    }
    if (at_ + 1 >= in_.size()) return Corruption("regular expression ends in a backslash");
    switch (in_[at_ + 1]) {
      case 'w':
        out += kWordMembers;
        break;
      case 'h':
        out += "0-9A-Fa-f";
        break;
      case 'W':
      case 'H':
        return Bad("this escape in a class");
      default:
        return CopyEscape(out);
    }
    at_ += 2;
    return OkStatus();
  }

  // Operands hold members, or "^members" for a negated one.
  Result<std::string> Join(bool negated, const std::vector<std::string>& operands) const {
    for (const std::string& operand : operands) {
      if (operand.empty()) return Bad("an empty class");
    }
    if (operands.size() == 1) {
      const std::string& only = operands[0];
      if (!negated) return "[" + only + "]";
      return only.front() == '^' ? "[" + only.substr(1) + "]" : "[^" + only + "]";
    }
    std::string all;
    for (std::size_t i = 1; i < operands.size(); ++i) all += "(?=[" + operands[i] + "])";
    all += "[" + operands[0] + "]";
    return negated ? "(?:(?!" + all + ")[\\s\\S])" : "(?:" + all + ")";
  }

  std::string_view in_;
  std::size_t at_ = 0;
  std::string out_;
  std::string lowered_;
  bool in_class_ = false;
};

}  // namespace

Result<std::string> TranslateRegex(std::string_view pattern) { return Translator(pattern).Run(); }

}  // namespace ingot::model
