// Jinja's tests: `value is NAME(arguments)`.
#include <fmt/format.h>

#include <algorithm>

#include "model/chat/template_builtins.h"
#include "model/chat/template_operators.h"
#include "model/chat/template_text.h"
#include "model/text/unicode_class.h"
#include "model/text/utf8.h"

namespace ingot::model::chat {
namespace {

Status MissingArgument(std::string_view name) {
  return InvalidArgument(fmt::format("test '{}' needs an argument", name));
}

// Python's islower and isupper: a cased character, and none of the other case.
bool IsCase(std::string_view text, Category wanted, Category other) {
  bool any = false;
  for (std::size_t i = 0; i < text.size();) {
    const Category category = CategoryOf(NextCodePoint(text, i));
    if (category == other || category == Category::kLt) return false;
    any |= category == wanted;
  }
  return any;
}

// The comparison that a test's name stands for; empty: none.
std::string_view ComparisonOf(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"eq", "=="}, {"equalto", "=="}, {"==", "=="},      {"ne", "!="},
      {"!=", "!="}, {"lt", "<"},       {"lessthan", "<"}, {"<", "<"},
      {"le", "<="}, {"<=", "<="},      {"gt", ">"},       {"greaterthan", ">"},
      {">", ">"},   {"ge", ">="},      {">=", ">="},      {"in", "in"}};
  for (const auto& [known, op] : kNames)
    if (known == name) return op;
  return {};
}

Result<std::int64_t> WholeNumber(const Value& value, std::string_view test) {
  INGOT_TRY(Defined(value));
  std::int64_t i = 0;
  if (value.AsInt(i)) return i;
  return InvalidArgument(fmt::format("test '{}' is of integers, not {}", test, value.TypeName()));
}

bool IsInteger(const Value& value) {
  std::int64_t ignored = 0;
  return value.Bool() == nullptr && value.AsInt(ignored);
}

}  // namespace

Result<bool> ApplyTest(Context&, std::string_view name, const Value& value,
                       const CallArguments& arguments) {
  const Value* argument = arguments.positional.empty() ? nullptr : &arguments.positional[0];
  const Text* text = value.AsText();
  const Sequence* list = value.AsSequence();
  if (name == "defined") return !value.IsUndefined();
  if (name == "undefined") return value.IsUndefined();
  if (name == "none") return value.IsNone();
  if (name == "string") return text != nullptr;
  if (name == "mapping") return value.AsDict() != nullptr;
  if (name == "boolean") return value.Bool() != nullptr;
  if (name == "true") return value.Bool() != nullptr && *value.Bool();
  if (name == "false") return value.Bool() != nullptr && !*value.Bool();
  if (name == "number") return value.IsNumber();
  if (name == "integer") return IsInteger(value);
  if (name == "float") return value.Float() != nullptr;
  if (name == "callable") return value.IsCallable();
  if (name == "escaped") return text != nullptr && text->safe;
  if (name == "iterable")
    return text != nullptr || list != nullptr || value.AsDict() != nullptr || value.IsUndefined();
  if (name == "sequence")
    return text != nullptr || value.AsDict() != nullptr || value.IsUndefined() ||
           (list != nullptr && list->kind != SequenceKind::kGenerator &&
            list->kind != SequenceKind::kView);
  if (name == "lower") return IsCase(ToText(value), Category::kLl, Category::kLu);
  if (name == "upper") return IsCase(ToText(value), Category::kLu, Category::kLl);
  if (name == "odd" || name == "even") {
    INGOT_ASSIGN(const std::int64_t number, WholeNumber(value, name));
    return (number % 2 != 0) == (name == "odd");
  }
  if (name == "divisibleby") {
    if (argument == nullptr) return MissingArgument(name);
    INGOT_ASSIGN(const std::int64_t number, WholeNumber(value, name));
    INGOT_ASSIGN(const std::int64_t by, WholeNumber(*argument, name));
    if (by == 0) return InvalidArgument("division by zero");
    return by == -1 || number % by == 0;
  }
  if (name == "sameas") {
    if (argument == nullptr) return MissingArgument(name);
    // Identity, which texts and numbers that are equal have here.
    return value.TypeName() == argument->TypeName() && value.Equals(*argument);
  }
  if (const std::string_view op = ComparisonOf(name); !op.empty()) {
    if (argument == nullptr) return MissingArgument(name);
    return Compare(op, value, *argument);
  }
  return InvalidArgument(fmt::format("no test named '{}'", name));
}

}  // namespace ingot::model::chat
