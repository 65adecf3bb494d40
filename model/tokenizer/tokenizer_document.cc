#include "model/tokenizer/tokenizer_document.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "model/text/json_text.h"
#include "model/text/utf8.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

// Bytes that need more than to be passed over inside a string.
constexpr std::array<bool, 256> kMarked = [] {
  std::array<bool, 256> marked{};
  for (unsigned b = 0; b < 256; ++b) marked[b] = b < 0x20 || b >= 0x80 || b == '"' || b == '\\';
  return marked;
}();

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// One pass over the text. What is taken out is checked here to the letter; what stays is only
// walked over, by its brackets and strings, and goes through ParseJson afterwards: where that
// accepts it, the walk was right.
class Scanner {
 public:
  Scanner(std::string_view text, TokenizerDocument& out) : text_(text), out_(out) {}

  // False: not JSON from byte at() on.
  bool Run() {
    const bool whole = Members([&](std::string_view key) {
      if (key != "model") return SkipValue();
      // Of keys given twice the last counts, here as below.
      out_.vocabulary.reset();
      out_.scores.reset();
      out_.merges.reset();
      if (Next() != '{') return SkipValue();
      return Members([&](std::string_view field) { return ModelField(field); });
    });
    rest_.append(text_, kept_);
    return whole;
  }

  const Status& status() const { return status_; }  // set where Run met a bad entry
  const std::string& rest() const { return rest_; }
  std::size_t at() const { return at_; }

 private:
  bool Fail(std::string message) {
    status_ = Corruption(std::move(message));
    return false;
  }

  // The next byte that is no white space, not taken; 0 at the end.
  char Next() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return c;
      ++at_;
    }
    return 0;
  }
  bool Take(char c) {
    if (Next() != c) return false;
    ++at_;
    return true;
  }

  // Walks one object; `value` is called at each value and moves behind it.
  template <typename Value>
  bool Members(Value&& value) {
    if (!Take('{')) return false;
    if (Take('}')) return true;
    do {
      std::string_view key;
      if (!String(key) || !Take(':') || !value(key)) return false;
    } while (Take(','));
    return Take('}');
  }

  bool ModelField(std::string_view key) {
    const char first = Next();
    const std::size_t begin = at_;
    if (key == "vocab") {
      out_.vocabulary.reset();
      out_.scores.reset();
    } else if (key == "merges") {
      out_.merges.reset();
    }
    if (key == "vocab" && first == '{') {
      if (!Vocabulary()) return false;
      Cut(begin, "{}");
    } else if (key == "vocab" && first == '[') {
      if (!Scores()) return false;
      Cut(begin, "[]");
    } else if (key == "merges" && first == '[') {
      if (!Merges()) return false;
      Cut(begin, "[]");
    } else {
      return SkipValue();
    }
    return true;
  }

  void Cut(std::size_t begin, std::string_view stand_in) {
    rest_.append(text_, kept_, begin - kept_);
    rest_ += stand_in;
    kept_ = at_;
  }

  bool Vocabulary() {
    auto& items = out_.vocabulary.emplace();
    return Members([&](std::string_view token) {
      std::int64_t id = 0;
      if (!Integer(id)) return Fail("id of token " + std::string(token) + " is not an integer");
      items.push_back({token, id});
      return true;
    });
  }

  bool Scores() {
    auto& items = out_.scores.emplace();
    ++at_;
    if (Take(']')) return true;
    do {
      ScoredItem item{{}, 0};
      if (!(Take('[') && String(item.token) && Take(',') && Number(item.score) && Take(']')))
        return Fail("entry " + std::to_string(items.size()) +
                    " of \"vocab\" is not a token and its score");
      items.push_back(item);
    } while (Take(','));
    return Take(']');
  }

  // JSON's grammar of numbers, and the value that the reference's reader makes of one: the first
  // digits as a 64-bit integer, rounded, then times or divided by a power of ten, rounded again.
  // It may lie beside the nearest double, and segmentations of equal score are told apart by it.
  bool Number(double& value) {
    Next();
    std::uint64_t digits = 0;
    std::int64_t exponent = 0;
    bool full = false;
    const auto is = [&](char c) { return at_ < text_.size() && text_[at_] == c; };
    const auto run = [&](std::int64_t taken, std::int64_t dropped) {
      const std::size_t first = at_;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
        const auto digit = static_cast<std::uint64_t>(text_[at_] - '0');
        full = full || digits > (std::numeric_limits<std::uint64_t>::max() - digit) / 10;
        if (!full) digits = digits * 10 + digit;
        exponent += full ? dropped : taken;
      }
      return at_ > first;
    };
    const bool negative = is('-');
    if (negative) ++at_;
    if (is('0')) {
      ++at_;
    } else if (!run(0, 1)) {
      return false;
    }
    if (is('.') && (++at_, !run(-1, 0))) return false;
    if (is('e') || is('E')) {
      ++at_;
      const bool down = is('-');
      if (down || is('+')) ++at_;
      const std::size_t first = at_;
      std::int64_t written = 0;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
        written = std::min<std::int64_t>(written * 10 + (text_[at_] - '0'), 1 << 20);
      if (at_ == first) return false;
      exponent += down ? -written : written;
    }
    value = ScaleByTen(static_cast<double>(digits), exponent);
    if (negative) value = -value;
    return std::isfinite(value);
  }

  static double ScaleByTen(double value, std::int64_t exponent) {
    constexpr std::int64_t kLargest = 308;
    for (; exponent < -kLargest && value != 0; exponent += kLargest) value /= 1e308;
    if (value == 0) return value;
    if (exponent > kLargest) return HUGE_VAL;
    const double power = PowerOfTen(exponent < 0 ? -exponent : exponent);
    return exponent < 0 ? value / power : value * power;
  }

  // The double nearest to 10^n, 0 <= n <= 308.
  static double PowerOfTen(std::int64_t n) {
    const std::string text = "1e" + std::to_string(n);
    double power = 1;
    (void)std::from_chars(text.data(), text.data() + text.size(), power);
    return power;
  }

  bool Merges() {
    auto& items = out_.merges.emplace();
    ++at_;
    if (Take(']')) return true;
    do {
      MergeItem merge{{}, {}, Next() == '"'};
      const bool good = merge.is_line ? String(merge.left)
                                      : Take('[') && String(merge.left) && Take(',') &&
                                            String(merge.right) && Take(']');
      if (!good) return Fail("merge " + std::to_string(items.size()) + " is not two tokens");
      items.push_back(merge);
    } while (Take(','));
    return Take(']');
  }

  bool Integer(std::int64_t& value) {
    constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
    const bool negative = Take('-');
    const std::size_t begin = negative ? at_ : (Next(), at_);
    value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const std::int64_t digit = text_[at_] - '0';
      value = value > (kMax - digit) / 10 ? kMax : value * 10 + digit;
    }
    if (at_ == begin || (at_ - begin > 1 && text_[begin] == '0')) return false;
    if (negative) value = -value;
    const char after = at_ < text_.size() ? text_[at_] : 0;
    return after != '.' && after != 'e' && after != 'E';
  }

  // A string's content: a slice of the text, or of the arena where there was an escape.
  bool String(std::string_view& value) {
    if (!Take('"')) return false;
    const std::size_t begin = at_;
    bool escaped = false;
    while (true) {
      while (at_ < text_.size() && !kMarked[static_cast<unsigned char>(text_[at_])]) ++at_;
      if (at_ == text_.size()) return false;
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') break;
      if (c < 0x20) return false;
      if (c == '\\') {
        escaped = true;
        if (at_ + 1 == text_.size()) return false;
        at_ += 2;
        continue;
      }
      const Utf8Step step = ClassifyUtf8(text_.substr(at_));
      if (step.kind != Utf8Kind::kCharacter) return false;
      at_ += step.bytes;
    }
    value = text_.substr(begin, at_ - begin);
    ++at_;
    return !escaped || Unescape(value);
  }

  bool Unescape(std::string_view& value) {
    plain_.clear();
    for (std::size_t i = 0; i < value.size();) {
      if (value[i] != '\\') {
        plain_ += value[i++];
        continue;
      }
      static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
      const char kind = value[i + 1];
      i += 2;
      if (kind == 'u') {
        char32_t c = 0;
        if (!CodePoint(value, i, c)) return false;
        AppendUtf8(c, plain_);
      } else {
        const std::size_t row = kFrom.find(kind);
        if (row == std::string_view::npos) return false;
        plain_ += kTo[row];
      }
    }
    if (plain_.empty()) return false;  // an escape always stands for something
    char* kept = static_cast<char*>(out_.unescaped->allocate(plain_.size(), 1));
    std::memcpy(kept, plain_.data(), plain_.size());
    value = {kept, plain_.size()};
    return true;
  }

  static bool CodeUnit(std::string_view text, std::size_t& i, char32_t& unit) {
    if (text.size() - i < 4) return false;
    unit = 0;
    for (const std::size_t end = i + 4; i < end; ++i) {
      const int digit = HexDigit(text[i]);
      if (digit < 0) return false;
      unit = unit << 4 | static_cast<char32_t>(digit);
    }
    return true;
  }

  // What follows \u; of a pair of surrogates both.
  static bool CodePoint(std::string_view text, std::size_t& i, char32_t& c) {
    if (!CodeUnit(text, i, c)) return false;
    if (c < 0xD800 || c > 0xDFFF) return true;
    if (c > 0xDBFF || text.substr(i, 2) != "\\u") return false;
    i += 2;
    char32_t low = 0;
    if (!CodeUnit(text, i, low) || low < 0xDC00 || low > 0xDFFF) return false;
    c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    return true;
  }

  // Moves behind a value that ParseJson will look at.
  bool SkipValue() {
    std::size_t depth = 0;
    Next();
    const std::size_t begin = at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        if (!SkipString()) return false;
      } else if (c == '{' || c == '[') {
        ++depth;
        ++at_;
      } else if (c == '}' || c == ']' || c == ',') {
        if (depth == 0) return at_ > begin;
        if (c != ',') --depth;
        ++at_;
      } else {
        ++at_;
      }
      if (depth == 0 && (c == '"' || c == '}' || c == ']')) return true;
    }
    return false;
  }
  bool SkipString() {
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
      } else if (text_[at_] == '"') {
        ++at_;
        return true;
      }
    }
    at_ = text_.size();
    return false;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t kept_ = 0;  // text before it is in rest_ or taken out
  std::string rest_;
  std::string plain_;
  Status status_;
  TokenizerDocument& out_;
};

}  // namespace

Result<TokenizerDocument> ParseTokenizerDocument(std::string_view text) {
  TokenizerDocument document;
  document.unescaped = std::make_unique<std::pmr::monotonic_buffer_resource>(64 << 10);
  Scanner scanner(text, document);
  const bool whole = scanner.Run();
  if (whole) {
    Result<Json> rest = ParseJson(scanner.rest());
    if (rest.ok()) {
      document.rest = *std::move(rest);
      return document;
    }
  }
  // Refused: the message comes from the whole text, with its bytes.
  INGOT_ASSIGN(const Json all, ParseJson(text));
  if (!all.is_object()) return Corruption("not a JSON object");
  INGOT_TRY(scanner.status());
  return Corruption("not valid JSON at byte " + std::to_string(scanner.at()));
}

}  // namespace ingot::model
