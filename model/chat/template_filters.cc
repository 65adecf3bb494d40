// Jinja's filters of numbers and sequences, and the list of all: `value | NAME(arguments)`.
#include "model/chat/template_filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "model/chat/template_builtins.h"
#include "model/chat/template_operators.h"
#include "model/chat/template_text.h"

namespace ingot::model::chat {
namespace {

Result<Value> List(Context& context, std::vector<Value> items,
                   SequenceKind kind = SequenceKind::kList) {
  return context.NewSequence(kind, std::move(items));
}

// "a.b.0" of a value, as filters with `attribute` look it up.
Result<Value> DottedItem(Context& context, Value value, const Value& attribute) {
  if (attribute.AsText() == nullptr) return context.Item(value, attribute);
  std::string_view path = attribute.AsText()->bytes;
  for (;;) {
    const std::size_t dot = path.find('.');
    const std::string part(path.substr(0, dot));
    const bool number = !part.empty() && part.size() < 10 &&
                        std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
    INGOT_ASSIGN(value,
                 context.Item(value, number ? Value(std::int64_t{std::stoll(part)}) : Value(part)));
    if (dot == std::string_view::npos) return value;
    path.remove_prefix(dot + 1);
  }
}

// --- numbers

Result<Value> ToInt(Context&, const Value& value, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::int64_t base, IntArgument(arguments, 1, "base", 10));
  const Value* given = arguments.Find(0, "default");
  const Value otherwise = given == nullptr ? Value(0) : *given;
  std::int64_t i = 0;
  if (value.AsInt(i)) return Value(i);
  double real = 0;
  if (const Text* text = value.AsText()) {
    if (base < 2 || base > 36) return InvalidArgument("int's base is from 2 to 36");
    std::string_view digits = StripRight(StripLeft(text->bytes));
    if (digits.starts_with('+')) digits.remove_prefix(1);
    const char* last = digits.data() + digits.size();
    auto [end, error] = std::from_chars(digits.data(), last, i, static_cast<int>(base));
    if (!digits.empty() && error == std::errc{} && end == last) return Value(i);
    const auto parsed = std::from_chars(digits.data(), last, real);
    if (digits.empty() || parsed.ec != std::errc{} || parsed.ptr != last) return otherwise;
  } else if (!value.AsNumber(real)) {
    return otherwise;
  }
  if (!(std::abs(real) < 0x1p63)) return otherwise;
  return Value(static_cast<std::int64_t>(real));
}

Result<Value> ToFloat(Context&, const Value& value, const CallArguments& arguments) {
  double real = 0;
  if (value.AsNumber(real)) return Value(real);
  const Value* otherwise = arguments.Find(0, "default");
  if (const Text* text = value.AsText()) {
    const std::string_view digits = StripRight(StripLeft(text->bytes));
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), real);
    if (!digits.empty() && error == std::errc{} && end == digits.data() + digits.size())
      return Value(real);
  }
  return otherwise == nullptr ? Value(0.0) : *otherwise;
}

Result<Value> Abs(Context&, const Value& value, const CallArguments&) {
  INGOT_ASSIGN(const bool negative, Less(value, Value(0)));
  return Signed(negative ? "-" : "+", value);
}

Result<Value> Round(Context&, const Value& value, const CallArguments& arguments) {
  INGOT_TRY(Defined(value));
  INGOT_ASSIGN(const std::int64_t precision, IntArgument(arguments, 0, "precision", 0));
  INGOT_ASSIGN(const std::string method, TextArgument(arguments, 1, "method", "common"));
  double real = 0;
  if (!value.AsNumber(real)) return InvalidArgument("round is of numbers");
  if (std::abs(precision) > 300) return InvalidArgument("round's precision is too large");
  if (method == "common") {
    if (precision < 0) {
      const double scale = std::pow(10.0, static_cast<double>(-precision));
      return Value(std::nearbyint(real / scale) * scale);
    }
    // Of the decimal expansion, as Python rounds.
    const std::string text = fmt::format("{:.{}f}", real, precision);
    std::from_chars(text.data(), text.data() + text.size(), real);
    return Value(real);
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method != "ceil" && method != "floor") return InvalidArgument("round: common, ceil or floor");
  return Value((method == "ceil" ? std::ceil(real * scale) : std::floor(real * scale)) / scale);
}

// --- sequences

Result<Value> Length(Context&, const Value& value, const CallArguments&) {
  if (const Text* text = value.AsText()) return Value(CountCharacters(text->bytes));
  if (const Dict* dict = value.AsDict())
    return Value(static_cast<std::int64_t>(dict->items.size()));
  const Sequence* list = value.AsSequence();
  if (list != nullptr && list->kind != SequenceKind::kGenerator)
    return Value(static_cast<std::int64_t>(list->items.size()));
  if (value.IsUndefined()) return Value(0);
  return InvalidArgument(fmt::format("a value of type {} has no length", value.TypeName()));
}

Result<Value> Default(Context&, const Value& value, const CallArguments& arguments) {
  const bool also_false = FlagArgument(arguments, 1, "boolean", false);
  if (!value.IsUndefined() && !(also_false && !value.Truthy())) return value;
  const Value* otherwise = arguments.Find(0, "default_value");
  return otherwise == nullptr ? Value("") : *otherwise;
}

Result<Value> First(Context& context, const Value& value, const CallArguments&) {
  INGOT_ASSIGN(const std::vector<Value> items, context.Iterate(value));
  return items.empty() ? Value::MakeUndefined("no first item, sequence was empty") : items.front();
}

Result<Value> Last(Context& context, const Value& value, const CallArguments&) {
  INGOT_ASSIGN(const std::vector<Value> items, context.Iterate(value));
  return items.empty() ? Value::MakeUndefined("no last item, sequence was empty") : items.back();
}

Result<Value> ToList(Context& context, const Value& value, const CallArguments&) {
  INGOT_ASSIGN(std::vector<Value> items, context.Iterate(value));
  return List(context, std::move(items));
}

Result<Value> Reverse(Context& context, const Value& value, const CallArguments&) {
  INGOT_ASSIGN(std::vector<Value> items, context.Iterate(value));
  std::ranges::reverse(items);
  if (value.AsText() == nullptr) return List(context, std::move(items), SequenceKind::kGenerator);
  std::string out;
  for (const Value& item : items) out += item.AsText()->bytes;
  return context.NewText(std::move(out));
}

Result<Value> Join(Context& context, const Value& value, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::vector<Value> items, context.Iterate(value));
  const Value* between = arguments.Find(0, "d");
  const Value* attribute = arguments.Find(1, "attribute");
  const std::string separator = between == nullptr ? "" : ToText(*between);
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    Value item = items[i];
    if (attribute != nullptr && !attribute->IsNone()) {
      INGOT_ASSIGN(item, DottedItem(context, item, *attribute));
    }
    const std::string text = ToText(item);
    INGOT_TRY(context.Charge(text.size() + separator.size()));
    if (i > 0) out += separator;
    out += text;
  }
  return context.NewText(std::move(out));
}

Result<Value> Items(Context& context, const Value& value, const CallArguments&) {
  if (value.IsUndefined()) return List(context, {}, SequenceKind::kGenerator);
  if (value.AsDict() == nullptr)
    return InvalidArgument("can only get item pairs from a mapping, not " + value.TypeName());
  INGOT_ASSIGN(const Value view, CallMethod(context, value, "items", {}));
  return List(context, view.AsSequence()->items, SequenceKind::kGenerator);
}

// What items are sorted or compared by: themselves or an attribute, texts in lower case.
Result<Value> SortKey(Context& context, const Value& item, const Value* attribute,
                      bool case_sensitive) {
  Value key = item;
  if (attribute != nullptr && !attribute->IsNone()) {
    INGOT_ASSIGN(key, DottedItem(context, item, *attribute));
  }
  if (!case_sensitive && key.AsText() != nullptr)
    return context.NewText(Lower(key.AsText()->bytes));
  return key;
}

// Stable, by keys; the first comparison that fails is the error.
Result<std::vector<Value>> SortedBy(const std::vector<Value>& items, const std::vector<Value>& keys,
                                    bool reverse) {
  std::vector<std::size_t> order(items.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  Status failed;
  // Keys that do not compare count as equal until the sort ends, which is consistent.
  for (std::size_t i = 1; i < keys.size(); ++i)
    if (const auto less = Less(keys[0], keys[i]); !less.ok()) return less.status();
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    const auto less = reverse ? Less(keys[b], keys[a]) : Less(keys[a], keys[b]);
    if (!less.ok() && failed.ok()) failed = less.status();
    return less.ok() && *less;
  });
  INGOT_TRY(std::move(failed));
  std::vector<Value> out;
  for (const std::size_t i : order) out.push_back(items[i]);
  return out;
}

Result<Value> Sort(Context& context, const Value& value, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::vector<Value> items, context.Iterate(value));
  const bool reverse = FlagArgument(arguments, 0, "reverse", false);
  const bool sensitive = FlagArgument(arguments, 1, "case_sensitive", false);
  const Value* attribute = arguments.Find(2, "attribute");
  std::vector<Value> keys;
  for (const Value& item : items) {
    INGOT_ASSIGN(Value key, SortKey(context, item, attribute, sensitive));
    keys.push_back(std::move(key));
  }
  INGOT_ASSIGN(std::vector<Value> sorted, SortedBy(items, keys, reverse));
  return List(context, std::move(sorted));
}

Result<Value> DictSort(Context& context, const Value& value, const CallArguments& arguments) {
  const bool sensitive = FlagArgument(arguments, 0, "case_sensitive", false);
  INGOT_ASSIGN(const std::string by, TextArgument(arguments, 1, "by", "key"));
  const bool reverse = FlagArgument(arguments, 2, "reverse", false);
  INGOT_TRY(Defined(value));
  if (value.AsDict() == nullptr) return InvalidArgument("dictsort is of mappings");
  if (by != "key" && by != "value") return InvalidArgument("dictsort: by key or by value");
  INGOT_ASSIGN(const Value view, CallMethod(context, value, "items", {}));
  std::vector<Value> keys;
  for (const auto& [key, item] : value.AsDict()->items) {
    INGOT_ASSIGN(Value sort_key, SortKey(context, by == "key" ? key : item, nullptr, sensitive));
    keys.push_back(std::move(sort_key));
  }
  INGOT_ASSIGN(std::vector<Value> sorted, SortedBy(view.AsSequence()->items, keys, reverse));
  return List(context, std::move(sorted));
}

Result<Value> Extreme(Context& context, const Value& value, const CallArguments& arguments,
                      bool least) {
  INGOT_ASSIGN(const std::vector<Value> items, context.Iterate(value));
  const bool sensitive = FlagArgument(arguments, 0, "case_sensitive", false);
  const Value* attribute = arguments.Find(1, "attribute");
  if (items.empty()) return Value::MakeUndefined("no aggregated item, sequence was empty");
  std::size_t best = 0;
  Value best_key;
  for (std::size_t i = 0; i < items.size(); ++i) {
    INGOT_ASSIGN(Value key, SortKey(context, items[i], attribute, sensitive));
    if (i > 0) {
      INGOT_ASSIGN(const bool better, least ? Less(key, best_key) : Less(best_key, key));
      if (!better) continue;
    }
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}
Result<Value> Min(Context& context, const Value& value, const CallArguments& arguments) {
  return Extreme(context, value, arguments, true);
}
Result<Value> Max(Context& context, const Value& value, const CallArguments& arguments) {
  return Extreme(context, value, arguments, false);
}

Result<Value> Sum(Context& context, const Value& value, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::vector<Value> items, context.Iterate(value));
  const Value* attribute = arguments.Find(0, "attribute");
  const Value* start = arguments.Find(1, "start");
  Value sum = start == nullptr ? Value(0) : *start;
  for (Value item : items) {
    if (attribute != nullptr && !attribute->IsNone()) {
      INGOT_ASSIGN(item, DottedItem(context, item, *attribute));
    }
    INGOT_ASSIGN(sum, Arithmetic(context, "+", sum, item));
  }
  return sum;
}

Result<Value> Unique(Context& context, const Value& value, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::vector<Value> items, context.Iterate(value));
  const bool sensitive = FlagArgument(arguments, 0, "case_sensitive", false);
  const Value* attribute = arguments.Find(1, "attribute");
  std::vector<Value> out, keys;
  for (const Value& item : items) {
    INGOT_ASSIGN(Value key, SortKey(context, item, attribute, sensitive));
    INGOT_TRY(context.Charge(keys.size()));  // a walk over what is known
    if (std::ranges::any_of(keys, [&](const Value& known) { return known.Equals(key); })) continue;
    keys.push_back(std::move(key));
    out.push_back(item);
  }
  return List(context, std::move(out), SequenceKind::kGenerator);
}

Result<Value> Batch(Context& context, const Value& value, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::vector<Value> items, context.Iterate(value));
  INGOT_ASSIGN(const std::int64_t size, IntArgument(arguments, 0, "linecount", 0));
  if (size < 1) return InvalidArgument("batch's size is above 0");
  const Value* fill = arguments.Find(1, "fill_with");
  std::vector<Value> out;
  for (std::size_t begin = 0; begin < items.size(); begin += static_cast<std::size_t>(size)) {
    const std::size_t end = std::min(items.size() - begin, static_cast<std::size_t>(size)) + begin;
    std::vector<Value> line(items.begin() + static_cast<std::ptrdiff_t>(begin),
                            items.begin() + static_cast<std::ptrdiff_t>(end));
    if (fill != nullptr && !fill->IsNone() && size < (1 << 20))
      line.resize(static_cast<std::size_t>(size), *fill);
    INGOT_ASSIGN(Value made, List(context, std::move(line)));
    out.push_back(std::move(made));
  }
  return List(context, std::move(out), SequenceKind::kGenerator);
}

Result<Value> GroupBy(Context& context, const Value& value, const CallArguments& arguments) {
  const Value* attribute = arguments.Find(0, "attribute");
  if (attribute == nullptr) return InvalidArgument("groupby needs an attribute");
  CallArguments sorting;
  sorting.named = {{"attribute", *attribute}};
  INGOT_ASSIGN(const Value sorted, Sort(context, value, sorting));
  std::vector<Value> groups, group;
  Value name;
  const auto close = [&]() -> Status {
    if (group.empty()) return OkStatus();
    INGOT_ASSIGN(Value list, List(context, std::move(group)));
    INGOT_ASSIGN(Value pair, List(context, {name, std::move(list)}, SequenceKind::kTuple));
    groups.push_back(std::move(pair));
    group.clear();
    return OkStatus();
  };
  for (const Value& item : sorted.AsSequence()->items) {
    INGOT_ASSIGN(Value key, DottedItem(context, item, *attribute));
    if (!group.empty() && !key.Equals(name)) INGOT_TRY(close());
    if (group.empty()) name = std::move(key);
    group.push_back(item);
  }
  INGOT_TRY(close());
  return List(context, std::move(groups));
}

Result<Value> Attr(Context& context, const Value& value, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::string name, TextArgument(arguments, 0, "name", ""));
  // Attributes alone: what a mapping holds is no attribute of it.
  if (value.AsNamespace() == nullptr && !HasMethod(value, name))
    return Value::MakeUndefined(fmt::format("'{}' has no attribute '{}'", value.TypeName(), name));
  return context.Attribute(value, name);
}

CallArguments After(const CallArguments& arguments, std::size_t count) {
  CallArguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(count),
                         arguments.positional.end());
  rest.named = arguments.named;
  return rest;
}

// What is false is an empty sequence to map, select and their kin: none, too.
Result<std::vector<Value>> IterateIfTrue(Context& context, const Value& value) {
  if (!value.Truthy()) return std::vector<Value>();
  return context.Iterate(value);
}

Result<Value> Map(Context& context, const Value& value, const CallArguments& arguments) {
  INGOT_ASSIGN(const std::vector<Value> items, IterateIfTrue(context, value));
  const Value* attribute = arguments.positional.empty() ? arguments.Find(0, "attribute") : nullptr;
  const Value* otherwise = arguments.positional.empty() ? arguments.Find(1, "default") : nullptr;
  if (attribute == nullptr && arguments.positional.empty())
    return InvalidArgument("map needs a filter's name or an attribute");
  std::vector<Value> out;
  for (const Value& item : items) {
    INGOT_TRY(context.Step());
    Value mapped;
    if (attribute != nullptr) {
      INGOT_ASSIGN(mapped, DottedItem(context, item, *attribute));
      if (mapped.IsUndefined() && otherwise != nullptr) mapped = *otherwise;
    } else {
      INGOT_ASSIGN(
          mapped, ApplyFilter(context, ToText(arguments.positional[0]), item, After(arguments, 1)));
    }
    out.push_back(std::move(mapped));
  }
  return List(context, std::move(out), SequenceKind::kGenerator);
}

// select, reject and, with an attribute first, selectattr and rejectattr.
Result<Value> Choose(Context& context, const Value& value, const CallArguments& arguments,
                     bool attribute, bool wanted) {
  INGOT_ASSIGN(const std::vector<Value> items, IterateIfTrue(context, value));
  const std::size_t before = attribute ? 1 : 0;
  if (arguments.positional.size() < before) return InvalidArgument("an attribute is needed");
  std::vector<Value> out;
  for (const Value& item : items) {
    INGOT_TRY(context.Step());
    Value tested = item;
    if (attribute) {
      INGOT_ASSIGN(tested, DottedItem(context, item, arguments.positional[0]));
    }
    bool passed = tested.Truthy();
    if (arguments.positional.size() > before) {
      INGOT_ASSIGN(passed, ApplyTest(context, ToText(arguments.positional[before]), tested,
                                     After(arguments, before + 1)));
    }
    if (passed == wanted) out.push_back(item);
  }
  return List(context, std::move(out), SequenceKind::kGenerator);
}
Result<Value> Select(Context& context, const Value& value, const CallArguments& arguments) {
  return Choose(context, value, arguments, false, true);
}
Result<Value> Reject(Context& context, const Value& value, const CallArguments& arguments) {
  return Choose(context, value, arguments, false, false);
}
Result<Value> SelectAttr(Context& context, const Value& value, const CallArguments& arguments) {
  return Choose(context, value, arguments, true, true);
}
Result<Value> RejectAttr(Context& context, const Value& value, const CallArguments& arguments) {
  return Choose(context, value, arguments, true, false);
}

constexpr FilterRow kFilters[] = {
    {"abs", Abs},
    {"attr", Attr},
    {"batch", Batch},
    {"count", Length},
    {"d", Default},
    {"default", Default},
    {"dictsort", DictSort},
    {"first", First},
    {"float", ToFloat},
    {"groupby", GroupBy},
    {"int", ToInt},
    {"items", Items},
    {"join", Join},
    {"last", Last},
    {"length", Length},
    {"list", ToList},
    {"map", Map},
    {"max", Max},
    {"min", Min},
    {"reject", Reject},
    {"rejectattr", RejectAttr},
    {"reverse", Reverse},
    {"round", Round},
    {"select", Select},
    {"selectattr", SelectAttr},
    {"sort", Sort},
    {"sum", Sum},
    {"unique", Unique},
};

}  // namespace

Result<Value> ApplyFilter(Context& context, std::string_view name, const Value& value,
                          const CallArguments& arguments) {
  for (const auto& rows : {std::span<const FilterRow>(kFilters), TextFilters()})
    for (const auto& [known, filter] : rows)
      if (known == name) return filter(context, value, arguments);
  return InvalidArgument(fmt::format("no filter named '{}'", name));
}

}  // namespace ingot::model::chat
