// Methods of Python's types that templates call.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

#include "model/chat/template_builtins.h"
#include "model/chat/template_operators.h"
#include "model/chat/template_text.h"
#include "model/text/unicode_class.h"
#include "model/text/utf8.h"
#include "untrusted/printable.h"

namespace ingot::model::chat {
namespace {

using Names = std::span<const std::string_view>;

constexpr std::string_view kTextMethods[] = {
    "capitalize",   "casefold",    "center",    "count",      "encode",       "endswith",
    "expandtabs",   "find",        "format",    "format_map", "index",        "isalnum",
    "isalpha",      "isascii",     "isdecimal", "isdigit",    "isidentifier", "islower",
    "isnumeric",    "isprintable", "isspace",   "istitle",    "isupper",      "join",
    "ljust",        "lower",       "lstrip",    "maketrans",  "partition",    "removeprefix",
    "removesuffix", "replace",     "rfind",     "rindex",     "rjust",        "rpartition",
    "rsplit",       "rstrip",      "split",     "splitlines", "startswith",   "strip",
    "swapcase",     "title",       "translate", "upper",      "zfill"};
constexpr std::string_view kDictMethods[] = {"copy", "fromkeys", "get", "items", "keys", "values"};
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::string_view kListMethods[] = {"copy", "count", "index"};
constexpr std::string_view kListChanges[] = {"append", "clear",  "extend",  "insert",
                                             "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kTupleMethods[] = {"count", "index"};

bool Has(Names names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

Names MethodsOf(const Value& object) {
  if (object.AsText() != nullptr) return kTextMethods;
  if (object.AsDict() != nullptr) return kDictMethods;
  const Sequence* list = object.AsSequence();
  if (list == nullptr) return {};
  if (list->kind == SequenceKind::kList) return kListMethods;
  return list->kind == SequenceKind::kTuple || list->kind == SequenceKind::kRange
             ? Names(kTupleMethods)
             : Names();
}

Status NotHere(const Value& object, std::string_view name) {
  return Unsupported(fmt::format("'{}' of a {} is not supported", name, object.TypeName()));
}

Result<Value> Pair(Context& context, const Value& key, const Value& value) {
  return context.NewSequence(SequenceKind::kTuple, {key, value});
}

// --- texts

// The characters to strip; nullopt: white space.
Result<std::optional<std::string>> StripSet(const CallArguments& arguments) {
  const Value* chars = arguments.Find(0, "chars");
  if (chars == nullptr || chars->IsNone()) return std::optional<std::string>();
  INGOT_ASSIGN(std::string set, TextArgument(arguments, 0, "chars", ""));
  return std::optional<std::string>(std::move(set));
}

// Cut at white space, from the left or the right, at most `most` times (-1: any).
std::vector<std::string> SplitAtSpace(std::string_view text, std::int64_t most, bool from_right) {
  std::vector<std::string> out;
  text = from_right ? StripRight(text) : StripLeft(text);
  while (!text.empty()) {
    if (most >= 0 && static_cast<std::int64_t>(out.size()) == most) {
      out.emplace_back(from_right ? StripRight(text) : text);
      break;
    }
    std::size_t begin = 0, end = text.size();
    if (from_right) {
      for (begin = text.size(); begin > 0;) {
        const std::size_t before = PreviousStart(text, begin);
        std::size_t next = before;
        if (IsPythonSpace(NextCodePoint(text, next))) break;
        begin = before;
      }
    } else {
      for (end = 0; end < text.size();) {
        std::size_t next = end;
        if (IsPythonSpace(NextCodePoint(text, next))) break;
        end = next;
      }
    }
    out.emplace_back(text.substr(begin, end - begin));
    text = from_right ? StripRight(text.substr(0, begin)) : StripLeft(text.substr(end));
  }
  if (from_right) std::ranges::reverse(out);
  return out;
}

std::vector<std::string> SplitAt(std::string_view text, std::string_view by, std::int64_t most,
                                 bool from_right) {
  std::vector<std::string> out;
  while (most < 0 || static_cast<std::int64_t>(out.size()) < most) {
    const std::size_t at = from_right ? text.rfind(by) : text.find(by);
    if (at == std::string_view::npos) break;
    out.emplace_back(from_right ? text.substr(at + by.size()) : text.substr(0, at));
    text = from_right ? text.substr(0, at) : text.substr(at + by.size());
  }
  out.emplace_back(text);
  if (from_right) std::ranges::reverse(out);
  return out;
}

Result<Value> Texts(Context& context, SequenceKind kind, const std::vector<std::string>& texts,
                    bool safe) {
  std::vector<Value> items;
  for (const std::string& text : texts) {
    INGOT_ASSIGN(Value item, context.NewText(text, safe));
    items.push_back(std::move(item));
  }
  return context.NewSequence(kind, std::move(items));
}

Result<Value> Split(Context& context, const Text& text, const CallArguments& arguments,
                    bool from_right) {
  INGOT_TRY(context.Charge(text.bytes.size() * sizeof(Value)));
  INGOT_ASSIGN(const std::int64_t most, IntArgument(arguments, 1, "maxsplit", -1));
  const Value* by = arguments.Find(0, "sep");
  if (by == nullptr || by->IsNone())
    return Texts(context, SequenceKind::kList, SplitAtSpace(text.bytes, most, from_right),
                 text.safe);
  INGOT_ASSIGN(const std::string separator, TextArgument(arguments, 0, "sep", ""));
  if (separator.empty()) return InvalidArgument("empty separator");
  return Texts(context, SequenceKind::kList, SplitAt(text.bytes, separator, most, from_right),
               text.safe);
}

Result<Value> SplitLines(Context& context, const Text& text, const CallArguments& arguments) {
  const bool keep = FlagArgument(arguments, 0, "keepends", false);
  INGOT_TRY(context.Charge(text.bytes.size() * sizeof(Value)));
  std::vector<std::string> lines;
  const std::string_view bytes = text.bytes;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t at = i;
    const char32_t c = NextCodePoint(bytes, i);
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
    if (!ends) continue;
    if (c == '\r' && i < bytes.size() && bytes[i] == '\n') ++i;
    lines.emplace_back(bytes.substr(begin, (keep ? i : at) - begin));
    begin = i;
  }
  if (begin < bytes.size()) lines.emplace_back(bytes.substr(begin));
  return Texts(context, SequenceKind::kList, lines, text.safe);
}

Result<Value> Partition(Context& context, const Text& text, const CallArguments& arguments,
                        bool from_right) {
  INGOT_ASSIGN(const std::string by, TextArgument(arguments, 0, "sep", ""));
  if (by.empty()) return InvalidArgument("empty separator");
  const std::size_t at = from_right ? text.bytes.rfind(by) : text.bytes.find(by);
  std::vector<std::string> parts = {text.bytes, "", ""};
  if (at != std::string::npos)
    parts = {text.bytes.substr(0, at), by, text.bytes.substr(at + by.size())};
  else if (from_right)
    std::ranges::reverse(parts);
  return Texts(context, SequenceKind::kTuple, parts, text.safe);
}

Result<Value> Replace(Context& context, const Text& text, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::string old, TextArgument(arguments, 0, "old", ""));
  INGOT_ASSIGN(std::string with, TextArgument(arguments, 1, "new", ""));
  INGOT_ASSIGN(std::int64_t most, IntArgument(arguments, 2, "count", -1));
  if (text.safe && arguments.positional.size() > 1 && !arguments.positional[1].AsText()->safe)
    with = untrusted::EscapeHtml(with);
  std::string out;
  const auto grow = [&] {
    return out.size() > (std::size_t{64} << 20) ? LimitExceeded("a text is too long") : OkStatus();
  };
  std::size_t at = 0;
  if (old.empty()) {
    for (const std::string_view c : Characters(text.bytes)) {
      if (most != 0) {
        out += with;
        --most;
      }
      out += c;
      INGOT_TRY(grow());
    }
    if (most != 0) out += with;
    return context.NewText(std::move(out), text.safe);
  }
  while (most != 0) {
    const std::size_t found = text.bytes.find(old, at);
    if (found == std::string::npos) break;
    out.append(text.bytes, at, found - at);
    out += with;
    INGOT_TRY(grow());
    at = found + old.size();
    --most;
  }
  out.append(text.bytes, at, std::string::npos);
  return context.NewText(std::move(out), text.safe);
}

// The part that [start, end) of a search's arguments names; `offset`: characters before it.
Result<Value> Part(Context& context, const Text& text, const CallArguments& arguments,
                   std::size_t place) {
  const Value* begin = arguments.Find(place, "start");
  const Value* end = arguments.Find(place + 1, "end");
  if (begin == nullptr && end == nullptr) return Value(text.bytes);
  return Slice(context, Value(text.bytes), begin, end, nullptr);
}

Result<Value> BeginsOrEnds(Context& context, const Text& text, const CallArguments& arguments,
                           bool begins) {
  INGOT_ASSIGN(const Value part, Part(context, text, arguments, 1));
  const std::string& bytes = part.AsText()->bytes;
  const Value* wanted = arguments.Find(0, "prefix");
  if (wanted == nullptr) return InvalidArgument("startswith and endswith need a text");
  INGOT_TRY(Defined(*wanted));
  std::vector<Value> all = {*wanted};
  if (const Sequence* tuple = wanted->AsSequence();
      tuple != nullptr && tuple->kind == SequenceKind::kTuple)
    all = tuple->items;
  for (const Value& one : all) {
    if (one.AsText() == nullptr)
      return InvalidArgument("startswith and endswith need a text or a tuple of them, not " +
                             one.TypeName());
    const std::string& affix = one.AsText()->bytes;
    if (begins ? bytes.starts_with(affix) : bytes.ends_with(affix)) return Value(true);
  }
  return Value(false);
}

Result<Value> Find(Context& context, const Text& text, const CallArguments& arguments,
                   std::string_view name) {
  INGOT_ASSIGN(const std::string wanted, TextArgument(arguments, 0, "sub", ""));
  INGOT_ASSIGN(const Value part, Part(context, text, arguments, 1));
  INGOT_ASSIGN(std::int64_t begin, IntArgument(arguments, 1, "start", 0));
  if (begin < 0) begin = std::max<std::int64_t>(0, begin + CountCharacters(text.bytes));
  const std::string& bytes = part.AsText()->bytes;
  const std::size_t at = name[0] == 'r' ? bytes.rfind(wanted) : bytes.find(wanted);
  if (at != std::string::npos)
    return Value(begin + CountCharacters(std::string_view(bytes).substr(0, at)));
  if (name.ends_with("index")) return InvalidArgument("substring not found");
  return Value(-1);
}

Result<Value> Count(Context& context, const Text& text, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::string wanted, TextArgument(arguments, 0, "sub", ""));
  INGOT_ASSIGN(const Value part, Part(context, text, arguments, 1));
  const std::string& bytes = part.AsText()->bytes;
  if (wanted.empty()) return Value(CountCharacters(bytes) + 1);
  std::int64_t count = 0;
  for (std::size_t at = bytes.find(wanted); at != std::string::npos;
       at = bytes.find(wanted, at + wanted.size()))
    ++count;
  return Value(count);
}

Result<Value> Join(Context& context, const Text& text, const CallArguments& arguments) {
  if (arguments.positional.size() != 1) return InvalidArgument("join takes one argument");
  INGOT_ASSIGN(const std::vector<Value> items, context.Iterate(arguments.positional[0]));
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].AsText() == nullptr)
      return InvalidArgument("join takes texts, not " + items[i].TypeName());
    if (i > 0) out += text.bytes;
    out += items[i].AsText()->bytes;
    INGOT_TRY(context.Charge(text.bytes.size() + items[i].AsText()->bytes.size()));
  }
  return context.NewText(std::move(out), text.safe);
}

// title() and swapcase(); a letter is cased where its two cases differ.
std::string Recase(std::string_view text, bool title) {
  std::string out;
  bool inside = false;
  for (const std::string_view c : Characters(text)) {
    const std::string lower = Lower(c), upper = Upper(c);
    const bool cased = lower != upper;
    out += title ? (inside ? lower : upper) : c == lower ? upper : lower;
    inside = cased;
  }
  return out;
}

Result<Value> Justify(Context& context, const Text& text, const CallArguments& arguments,
                      std::string_view name) {
  INGOT_ASSIGN(const std::int64_t width, IntArgument(arguments, 0, "width", 0));
  INGOT_ASSIGN(const std::string fill, TextArgument(arguments, 1, "fillchar", " "));
  if (CountCharacters(fill) != 1) return InvalidArgument("the fill is one character");
  const std::int64_t missing = width - CountCharacters(text.bytes);
  if (missing <= 0) return Value(text.bytes);
  if (missing > (1 << 20)) return LimitExceeded("a text's width is more than a million");
  const auto padding = [&](std::int64_t n) {
    std::string out;
    for (std::int64_t i = 0; i < n; ++i) out += fill;
    return out;
  };
  // CPython puts the odd one left where the width is odd.
  const std::int64_t left = name == "rjust"    ? missing
                            : name == "center" ? missing / 2 + (missing & width & 1)
                                               : 0;
  return context.NewText(padding(left) + text.bytes + padding(missing - left), text.safe);
}

Result<Value> ZeroFill(Context& context, const Text& text, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::int64_t width, IntArgument(arguments, 0, "width", 0));
  const std::int64_t missing = width - CountCharacters(text.bytes);
  if (missing <= 0) return Value(text.bytes);
  if (missing > (1 << 20)) return LimitExceeded("a text's width is more than a million");
  const std::size_t sign = text.bytes.starts_with('-') || text.bytes.starts_with('+') ? 1 : 0;
  std::string out = text.bytes;
  out.insert(sign, static_cast<std::size_t>(missing), '0');
  return context.NewText(std::move(out));
}

template <typename Is>
bool AllAre(std::string_view text, Is is) {
  for (std::size_t i = 0; i < text.size();)
    if (!is(NextCodePoint(text, i))) return false;
  return !text.empty();
}

bool IsLetter(char32_t c) {
  const Category category = CategoryOf(c);
  return category >= Category::kLu && category <= Category::kLo;
}

// isdigit and its kin; nullopt: another method.
std::optional<bool> Classify(std::string_view text, std::string_view name) {
  const auto is_decimal = [](char32_t c) { return CategoryOf(c) == Category::kNd; };
  const auto is_digit = [&](char32_t c) {
    return is_decimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || (c >= 0x2070 && c <= 0x2079) ||
           (c >= 0x2080 && c <= 0x2089);
  };
  if (name == "isspace") return AllAre(text, IsPythonSpace);
  if (name == "isalpha") return AllAre(text, IsLetter);
  if (name == "isdecimal") return AllAre(text, is_decimal);
  if (name == "isdigit") return AllAre(text, is_digit);
  if (name == "isnumeric") return AllAre(text, IsNumeric);
  if (name == "isalnum")
    return AllAre(text, [](char32_t c) { return IsLetter(c) || IsNumeric(c); });
  if (name == "isascii") return text.empty() || AllAre(text, [](char32_t c) { return c < 0x80; });
  return std::nullopt;
}

Result<Value> TextMethod(Context& context, const Value& object, std::string_view name,
                         const CallArguments& arguments) {
  const Text& text = *object.AsText();
  INGOT_TRY(context.Charge(text.bytes.size()));
  const auto result = [&](std::string out) { return context.NewText(std::move(out), text.safe); };
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    INGOT_ASSIGN(const auto chars, StripSet(arguments));
    std::string_view rest = text.bytes;
    if (name != "rstrip") rest = StripLeft(rest, chars);
    if (name != "lstrip") rest = StripRight(rest, chars);
    return result(std::string(rest));
  }
  if (name == "split" || name == "rsplit") return Split(context, text, arguments, name == "rsplit");
  if (name == "startswith" || name == "endswith")
    return BeginsOrEnds(context, text, arguments, name == "startswith");
  if (name == "replace") return Replace(context, text, arguments);
  if (name == "upper") return result(Upper(text.bytes));
  if (name == "lower" || name == "casefold") return result(Lower(text.bytes));
  if (name == "capitalize") return result(Capitalize(text.bytes));
  if (name == "title" || name == "swapcase") return result(Recase(text.bytes, name == "title"));
  if (name == "join") return Join(context, text, arguments);
  if (name == "format") {
    INGOT_ASSIGN(std::string out, FormatBraces(text.bytes, arguments.positional, arguments.named));
    return result(std::move(out));
  }
  if (name == "find" || name == "rfind" || name == "index" || name == "rindex")
    return Find(context, text, arguments, name);
  if (name == "count") return Count(context, text, arguments);
  if (name == "splitlines") return SplitLines(context, text, arguments);
  if (name == "partition" || name == "rpartition")
    return Partition(context, text, arguments, name == "rpartition");
  if (name == "removeprefix" || name == "removesuffix") {
    INGOT_ASSIGN(const std::string affix, TextArgument(arguments, 0, "prefix", ""));
    std::string_view rest = text.bytes;
    if (name == "removeprefix" && rest.starts_with(affix)) rest.remove_prefix(affix.size());
    if (name == "removesuffix" && rest.ends_with(affix)) rest.remove_suffix(affix.size());
    return result(std::string(rest));
  }
  if (name == "ljust" || name == "rjust" || name == "center")
    return Justify(context, text, arguments, name);
  if (name == "zfill") return ZeroFill(context, text, arguments);
  if (name == "islower" || name == "isupper") {
    INGOT_ASSIGN(const bool is, ApplyTest(context, name.substr(2), object, {}));
    return Value(is);
  }
  if (const auto is = Classify(text.bytes, name)) return Value(*is);
  return NotHere(object, name);
}

// --- mappings and lists

Result<Value> DictMethod(Context& context, const Value& object, std::string_view name,
                         const CallArguments& arguments) {
  const Dict& dict = *object.AsDict();
  if (name == "get") {
    const Value* key = arguments.Find(0, "key");
    if (key == nullptr) return InvalidArgument("get needs a key");
    if (const Value* found = dict.Find(*key)) return *found;
    const Value* otherwise = arguments.Find(1, "default");
    return otherwise == nullptr ? Value() : *otherwise;
  }
  if (name == "copy") return object;
  if (name == "items" || name == "keys" || name == "values") {
    std::vector<Value> items;
    for (const auto& [key, value] : dict.items) {
      if (name == "items") {
        INGOT_ASSIGN(Value pair, Pair(context, key, value));
        items.push_back(std::move(pair));
      } else {
        items.push_back(name == "keys" ? key : value);
      }
    }
    return context.NewSequence(SequenceKind::kView, std::move(items));
  }
  return NotHere(object, name);
}

Result<Value> ListMethod(const Value& object, std::string_view name,
                         const CallArguments& arguments) {
  const std::vector<Value>& items = object.AsSequence()->items;
  if (name == "copy") return object;
  if (arguments.positional.empty())
    return InvalidArgument("'" + std::string(name) + "' needs a value");
  const Value& wanted = arguments.positional[0];
  if (name == "count")
    return Value(static_cast<std::int64_t>(
        std::ranges::count_if(items, [&](const Value& item) { return item.Equals(wanted); })));
  const auto found =
      std::ranges::find_if(items, [&](const Value& item) { return item.Equals(wanted); });
  if (found == items.end()) return InvalidArgument(ToRepr(wanted) + " is not in the list");
  return Value(static_cast<std::int64_t>(found - items.begin()));
}

}  // namespace

bool HasMethod(const Value& object, std::string_view name) { return Has(MethodsOf(object), name); }

bool ChangesItsObject(const Value& object, std::string_view name) {
  const Sequence* list = object.AsSequence();
  return (object.AsDict() != nullptr && Has(kDictChanges, name)) ||
         (list != nullptr && list->kind == SequenceKind::kList && Has(kListChanges, name));
}

Result<Value> CallMethod(Context& context, const Value& object, std::string_view name,
                         const CallArguments& arguments) {
  if (object.AsText() != nullptr) return TextMethod(context, object, name, arguments);
  if (object.AsDict() != nullptr) return DictMethod(context, object, name, arguments);
  return ListMethod(object, name, arguments);
}

}  // namespace ingot::model::chat
