// Functions of transformers' template environment, and how arguments are read.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "model/chat/template_builtins.h"
#include "model/chat/template_operators.h"
#include "model/chat/template_text.h"

namespace ingot::model::chat {
namespace {

constexpr std::int64_t kMaxRange = 100000;  // of Jinja's sandbox

Result<Value> Range(Context& context, const CallArguments& arguments) {
  if (arguments.positional.empty() || arguments.positional.size() > 3)
    return InvalidArgument("range takes 1 to 3 arguments");
  std::int64_t numbers[3] = {0, 0, 1};
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    INGOT_TRY(Defined(arguments.positional[i]));
    if (!arguments.positional[i].AsInt(numbers[i]))
      return InvalidArgument("range takes integers, not " + arguments.positional[i].TypeName());
  }
  if (arguments.positional.size() == 1) std::swap(numbers[0], numbers[1]);
  const auto [begin, end, step] = numbers;
  if (step == 0) return InvalidArgument("range's step is zero");
  std::vector<Value> items;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (static_cast<std::int64_t>(items.size()) == kMaxRange)
      return LimitExceeded(fmt::format("a range of more than {} numbers", kMaxRange));
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return context.NewSequence(SequenceKind::kRange, std::move(items));
}

// namespace(...) and dict(...): a mapping and names.
Status Fill(Context& context, const CallArguments& arguments, Dict& out) {
  if (arguments.positional.size() > 1) return InvalidArgument("one mapping at most was expected");
  for (const Value& value : arguments.positional) {
    if (const Dict* dict = value.AsDict()) {
      out = *dict;
      continue;
    }
    INGOT_ASSIGN(const std::vector<Value> items, context.Iterate(value));
    for (const Value& item : items) {
      const Sequence* pair = item.AsSequence();
      if (pair == nullptr || pair->items.size() != 2)
        return InvalidArgument("a mapping is made of pairs");
      out.Set(pair->items[0], pair->items[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) out.Set(name, value);
  return OkStatus();
}

Result<Value> StrftimeNow(Context& context, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::string format, TextArgument(arguments, 0, "format", ""));
  const std::time_t now = context.now();
  std::tm broken{};
  localtime_r(&now, &broken);
  std::array<char, 1024> buffer{};
  const std::size_t bytes = std::strftime(buffer.data(), buffer.size(), format.c_str(), &broken);
  if (bytes == 0 && !format.empty()) return InvalidArgument("strftime_now's format is too long");
  return context.NewText(std::string(buffer.data(), bytes));
}

}  // namespace

Result<std::int64_t> IntArgument(const CallArguments& arguments, std::size_t place,
                                 std::string_view name, std::int64_t otherwise) {
  const Value* value = arguments.Find(place, name);
  if (value == nullptr || value->IsNone()) return otherwise;
  INGOT_TRY(Defined(*value));
  if (!value->AsInt(otherwise))
    return InvalidArgument(fmt::format("'{}' is an integer, not {}", name, value->TypeName()));
  return otherwise;
}

Result<std::string> TextArgument(const CallArguments& arguments, std::size_t place,
                                 std::string_view name, std::string_view otherwise) {
  const Value* value = arguments.Find(place, name);
  if (value == nullptr) return std::string(otherwise);
  INGOT_TRY(Defined(*value));
  if (value->AsText() == nullptr)
    return InvalidArgument(fmt::format("'{}' is a text, not {}", name, value->TypeName()));
  return value->AsText()->bytes;
}

bool FlagArgument(const CallArguments& arguments, std::size_t place, std::string_view name,
                  bool otherwise) {
  const Value* value = arguments.Find(place, name);
  return value == nullptr ? otherwise : value->Truthy();
}

bool IsFunction(std::string_view name) {
  static constexpr std::string_view kNames[] = {"range", "namespace", "dict", "raise_exception",
                                                "strftime_now"};
  return std::ranges::find(kNames, name) != std::end(kNames);
}

Result<Value> CallFunction(Context& context, const Function& function,
                           const CallArguments& arguments) {
  if (function.name == "range") return Range(context, arguments);
  if (function.name == "strftime_now") return StrftimeNow(context, arguments);
  if (function.name == "raise_exception") {
    const Value* message = arguments.Find(0, "message");
    return InvalidArgument("the template says: " + (message == nullptr ? "" : ToText(*message)));
  }
  if (function.name == "loop.cycle") {
    std::int64_t at = 0;
    function.bound->AsInt(at);
    if (arguments.positional.empty()) return InvalidArgument("no items for cycling given");
    return arguments.positional[static_cast<std::size_t>(at) % arguments.positional.size()];
  }
  Dict values;
  INGOT_TRY(Fill(context, arguments, values));
  if (function.name == "dict") return context.NewDict(std::move(values));
  Value space = context.NewNamespace();
  for (const auto& [key, value] : values.items)
    space.AsNamespace()->values.insert_or_assign(ToText(key), value);
  return space;
}

}  // namespace ingot::model::chat
