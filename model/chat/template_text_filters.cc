// Jinja's filters of texts; tojson is transformers'.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/chat/template_builtins.h"
#include "model/chat/template_filters.h"
#include "model/chat/template_operators.h"
#include "model/chat/template_text.h"
#include "untrusted/printable.h"

namespace ingot::model::chat {
namespace {

Result<Value> Trim(Context& context, const Value& value, const CallArguments& arguments) {
  const std::string text = ToText(value);
  std::optional<std::string> chars;
  if (const Value* given = arguments.Find(0, "chars"); given != nullptr && !given->IsNone())
    chars = ToText(*given);
  return context.NewText(std::string(StripRight(StripLeft(text, chars), chars)), IsSafe(value));
}

Result<Value> ToLower(Context& context, const Value& value, const CallArguments&) {
  return context.NewText(Lower(ToText(value)), IsSafe(value));
}
Result<Value> ToUpper(Context& context, const Value& value, const CallArguments&) {
  return context.NewText(Upper(ToText(value)), IsSafe(value));
}
Result<Value> ToCapitalized(Context& context, const Value& value, const CallArguments&) {
  return context.NewText(Capitalize(ToText(value)), IsSafe(value));
}

// Words begin behind white space, hyphens and brackets.
Result<Value> Title(Context& context, const Value& value, const CallArguments&) {
  std::string out;
  bool inside = false;
  const std::string text = ToText(value);
  for (const std::string_view c : Characters(text)) {
    out += inside ? Lower(c) : Upper(c);
    constexpr std::string_view kBefore = "-({[<";
    inside = !StripLeft(c).empty() && kBefore.find(c) == std::string_view::npos;
  }
  return context.NewText(std::move(out), IsSafe(value));
}

Result<Value> String(Context& context, const Value& value, const CallArguments&) {
  if (value.AsText() != nullptr) return value;
  return context.NewText(ToText(value));
}
Result<Value> Safe(Context& context, const Value& value, const CallArguments&) {
  return context.NewText(ToText(value), true);
}
Result<Value> Escape(Context& context, const Value& value, const CallArguments&) {
  if (IsSafe(value)) return value;
  return context.NewText(untrusted::EscapeHtml(ToText(value)), true);
}

Result<Value> Replace(Context& context, const Value& value, const CallArguments& arguments) {
  return CallMethod(context, Value(ToText(value)), "replace", arguments);
}

Result<Value> Indent(Context& context, const Value& value, const CallArguments& arguments) {
  const Value* width = arguments.Find(0, "width");
  std::string indent(4, ' ');
  if (width != nullptr && width->AsText() != nullptr) {
    indent = width->AsText()->bytes;
  } else {
    INGOT_ASSIGN(const std::int64_t columns, IntArgument(arguments, 0, "width", 4));
    if (columns > 10000) return LimitExceeded("an indentation of more than 10000");
    indent.assign(static_cast<std::size_t>(std::max<std::int64_t>(columns, 0)), ' ');
  }
  const bool first = FlagArgument(arguments, 1, "first", false);
  const bool blank = FlagArgument(arguments, 2, "blank", false);
  INGOT_ASSIGN(const Value lines,
               CallMethod(context, Value(ToText(value) + "\n"), "splitlines", {}));
  std::string out = first ? indent : "";
  bool begins = true;
  for (const Value& line : lines.AsSequence()->items) {
    const std::string& text = line.AsText()->bytes;
    if (!begins) out += "\n" + (blank || !text.empty() ? indent : std::string());
    out += text;
    begins = false;
    INGOT_TRY(context.Charge(indent.size()));
  }
  return context.NewText(std::move(out), IsSafe(value));
}

Result<Value> Truncate(Context& context, const Value& value, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::int64_t length, IntArgument(arguments, 0, "length", 255));
  const bool kill_words = FlagArgument(arguments, 1, "killwords", false);
  INGOT_ASSIGN(const std::string end, TextArgument(arguments, 2, "end", "..."));
  INGOT_ASSIGN(const std::int64_t leeway, IntArgument(arguments, 3, "leeway", 5));
  const std::string text = ToText(value);
  if (length < CountCharacters(end)) return InvalidArgument("truncate's length is too short");
  if (CountCharacters(text) <= length + leeway) return context.NewText(text);
  const auto characters = Characters(text);
  std::string cut;
  for (std::int64_t i = 0; i < length - CountCharacters(end); ++i)
    cut += characters[static_cast<std::size_t>(i)];
  if (!kill_words)
    if (const std::size_t space = cut.rfind(' '); space != std::string::npos) cut.resize(space);
  return context.NewText(cut + end);
}

Result<Value> Center(Context& context, const Value& value, const CallArguments& arguments) {
  CallArguments width = arguments;
  if (width.positional.empty() && width.named.empty()) width.positional = {80};
  return CallMethod(context, Value(ToText(value)), "center", width);
}

Result<Value> Format(Context& context, const Value& value, const CallArguments& arguments) {
  Dict named;
  for (const auto& [name, item] : arguments.named) named.Set(name, item);
  INGOT_ASSIGN(const Value mapping, context.NewDict(std::move(named)));
  INGOT_ASSIGN(std::string out, FormatPercent(ToText(value), arguments.positional,
                                              arguments.named.empty() ? nullptr : &mapping));
  return context.NewText(std::move(out), IsSafe(value));
}

Result<Value> WordCount(Context& context, const Value& value, const CallArguments&) {
  INGOT_ASSIGN(const Value words, CallMethod(context, Value(ToText(value)), "split", {}));
  return Value(static_cast<std::int64_t>(words.AsSequence()->items.size()));
}

Result<Value> UrlEncode(Context& context, const Value& value, const CallArguments&) {
  constexpr std::string_view kKept = "-._~/";
  std::string out;
  for (const char c : ToText(value)) {
    const auto byte = static_cast<unsigned char>(c);
    const bool kept =
        (byte < 0x80 && std::isalnum(byte) != 0) || kKept.find(c) != std::string_view::npos;
    out += kept ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return context.NewText(std::move(out));
}

Result<Value> ToJsonText(Context& context, const Value& value, const CallArguments& arguments) {
  JsonStyle style;
  style.ensure_ascii = FlagArgument(arguments, 0, "ensure_ascii", false);
  style.sort_keys = FlagArgument(arguments, 3, "sort_keys", false);
  if (const Value* indent = arguments.Find(1, "indent"); indent != nullptr && !indent->IsNone()) {
    INGOT_TRY(Defined(*indent));
    if (indent->AsText() != nullptr) {
      style.indent = indent->AsText()->bytes;
    } else {
      INGOT_ASSIGN(const std::int64_t columns, IntArgument(arguments, 1, "indent", 0));
      if (columns > 64) return LimitExceeded("tojson's indent is more than 64");
      style.indent = std::string(static_cast<std::size_t>(std::max<std::int64_t>(columns, 0)), ' ');
    }
    style.item_separator = ",";
  }
  if (const Value* both = arguments.Find(2, "separators"); both != nullptr && !both->IsNone()) {
    const Sequence* pair = both->AsSequence();
    if (pair == nullptr || pair->items.size() != 2)
      return InvalidArgument("tojson's separators are two texts");
    style.item_separator = ToText(pair->items[0]);
    style.key_separator = ToText(pair->items[1]);
  }
  INGOT_ASSIGN(std::string out, ToJson(value, style));
  return context.NewText(std::move(out));
}

constexpr FilterRow kTextFilters[] = {
    {"capitalize", ToCapitalized},
    {"center", Center},
    {"e", Escape},
    {"escape", Escape},
    {"format", Format},
    {"indent", Indent},
    {"lower", ToLower},
    {"replace", Replace},
    {"safe", Safe},
    {"string", String},
    {"title", Title},
    {"tojson", ToJsonText},
    {"trim", Trim},
    {"truncate", Truncate},
    {"upper", ToUpper},
    {"urlencode", UrlEncode},
    {"wordcount", WordCount},
};

}  // namespace

std::span<const FilterRow> TextFilters() { return kTextFilters; }

}  // namespace ingot::model::chat
