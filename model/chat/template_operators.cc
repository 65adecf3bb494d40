#include "model/chat/template_operators.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/chat/template_text.h"
#include "untrusted/printable.h"

namespace ingot::model::chat {
namespace {

Status TypesDiffer(std::string_view op, const Value& a, const Value& b) {
  return InvalidArgument(
      fmt::format("'{}' does not go with {} and {}", op, a.TypeName(), b.TypeName()));
}

Status TooLarge() { return LimitExceeded("an integer is beyond 64 bits"); }

std::int64_t FloorDivide(std::int64_t a, std::int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

Result<Value> IntegerPower(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0)
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  std::int64_t power = 1;
  // Beyond 64 doublings only 0, 1 and -1 stay small.
  if (exponent > 64 && base >= -1 && base <= 1) exponent = 2 + exponent % 2;
  for (; exponent > 0; --exponent)
    if (__builtin_mul_overflow(power, base, &power)) return TooLarge();
  return Value(power);
}

Result<Value> IntegerArithmetic(std::string_view op, std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  bool overflow = false;
  if (op == "+") {
    overflow = __builtin_add_overflow(a, b, &out);
  } else if (op == "-") {
    overflow = __builtin_sub_overflow(a, b, &out);
  } else if (op == "*") {
    overflow = __builtin_mul_overflow(a, b, &out);
  } else if (op == "**") {
    return IntegerPower(a, b);
  } else {
    if (b == 0) return InvalidArgument("division by zero");
    if (op == "/") return Value(static_cast<double>(a) / static_cast<double>(b));
    if (b == -1) {  // the one division that overflows
      overflow = op == "//" && __builtin_sub_overflow(std::int64_t{0}, a, &out);
    } else {
      out = op == "//" ? FloorDivide(a, b) : a - b * FloorDivide(a, b);
    }
  }
  if (overflow) return TooLarge();
  return Value(out);
}

Result<Value> FloatArithmetic(std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") return Value(std::pow(a, b));
  if (b == 0) return InvalidArgument("division by zero");
  if (op == "/") return Value(a / b);
  const double quotient = std::floor(a / b);
  return Value(op == "//" ? quotient : a - b * quotient);
}

Result<Value> AddTexts(Context& context, const Text& a, const Text& b) {
  const bool safe = a.safe || b.safe;
  if (!safe) return context.NewText(a.bytes + b.bytes);
  const auto escaped = [](const auto& text) {
    return text.safe ? std::string(text.bytes) : untrusted::EscapeHtml(text.bytes);
  };
  return context.NewText(escaped(a) + escaped(b), true);
}

Result<Value> Repeat(Context& context, const Value& value, std::int64_t times) {
  const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(times, 0));
  const auto check = [&](std::uint64_t size, std::uint64_t unit) {
    if (size > 0 && count > (std::uint64_t{1} << 40) / size / unit)
      return LimitExceeded("a repetition is too long");
    return context.Charge(size * unit * count);
  };
  if (const Text* text = value.AsText()) {
    INGOT_TRY(check(text->bytes.size(), 1));
    std::string out;
    for (std::uint64_t i = 0; i < count && !text->bytes.empty(); ++i) out += text->bytes;
    return context.NewText(std::move(out), text->safe);
  }
  const Sequence& list = *value.AsSequence();
  INGOT_TRY(check(list.items.size(), sizeof(Value)));
  std::vector<Value> out;
  for (std::uint64_t i = 0; i < count && !list.items.empty(); ++i)
    out.insert(out.end(), list.items.begin(), list.items.end());
  return context.NewSequence(list.kind, std::move(out));
}

bool IsListOrTuple(const Sequence* list) {
  return list != nullptr &&
         (list->kind == SequenceKind::kList || list->kind == SequenceKind::kTuple);
}

Result<Value> Percent(Context& context, const Text& format, const Value& argument) {
  const Sequence* tuple = argument.AsSequence();
  std::vector<Value> arguments = {argument};
  if (tuple != nullptr && tuple->kind == SequenceKind::kTuple) arguments = tuple->items;
  const Value* mapping = argument.AsDict() != nullptr ? &argument : nullptr;
  INGOT_ASSIGN(std::string out, FormatPercent(format.bytes, arguments, mapping));
  return context.NewText(std::move(out), format.safe);
}

Result<bool> Contains(const Value& all, const Value& one) {
  if (const Text* text = all.AsText()) {
    INGOT_TRY(Defined(one));
    if (one.AsText() == nullptr)
      return InvalidArgument(
          fmt::format("'in <string>' requires string as left operand, not {}", one.TypeName()));
    return text->bytes.find(one.AsText()->bytes) != std::string::npos;
  }
  if (const Dict* dict = all.AsDict()) return dict->Find(one) != nullptr;
  if (const Sequence* list = all.AsSequence())
    return std::ranges::any_of(list->items, [&](const Value& item) { return item.Equals(one); });
  if (all.IsUndefined()) return false;
  return InvalidArgument(fmt::format("a value of type {} is not iterable", all.TypeName()));
}

// A slice's bound, as Python clamps it.
std::int64_t Clamp(std::int64_t at, std::int64_t size, bool forwards) {
  if (at < 0) at += size;
  return std::clamp<std::int64_t>(at, forwards ? 0 : -1, forwards ? size : size - 1);
}

Result<std::vector<std::size_t>> SliceIndices(std::int64_t size, const Value* begin,
                                              const Value* end, const Value* step) {
  constexpr std::int64_t kFar = std::int64_t{1} << 60;
  std::int64_t numbers[3] = {0, 0, 1};
  const Value* parts[3] = {begin, end, step};
  bool given[3] = {};
  for (int i = 0; i < 3; ++i) {
    if (parts[i] == nullptr || parts[i]->IsNone()) continue;
    INGOT_TRY(Defined(*parts[i]));
    if (!parts[i]->AsInt(numbers[i]))
      return InvalidArgument(
          fmt::format("slice indices must be integers, not {}", parts[i]->TypeName()));
    numbers[i] = std::clamp(numbers[i], -kFar, kFar);
    given[i] = true;
  }
  const std::int64_t by = numbers[2];
  if (by == 0) return InvalidArgument("slice step cannot be zero");
  std::int64_t at = given[0] ? Clamp(numbers[0], size, by > 0) : by > 0 ? 0 : size - 1;
  const std::int64_t stop = given[1] ? Clamp(numbers[1], size, by > 0) : by > 0 ? size : -1;
  std::vector<std::size_t> out;
  for (; by > 0 ? at < stop : at > stop; at += by) out.push_back(static_cast<std::size_t>(at));
  return out;
}

}  // namespace

Status Defined(const Value& value) {
  if (const Undefined* undefined = value.AsUndefined()) return InvalidArgument(undefined->why);
  return OkStatus();
}

Result<Value> Arithmetic(Context& context, std::string_view op, const Value& a, const Value& b) {
  INGOT_TRY(Defined(a));
  const Text *text = a.AsText(), *other = b.AsText();
  if (op == "%" && text != nullptr) return Percent(context, *text, b);
  INGOT_TRY(Defined(b));
  std::int64_t i = 0, j = 0;
  double x = 0, y = 0;
  if (a.AsInt(i) && b.AsInt(j)) return IntegerArithmetic(op, i, j);
  if (a.AsNumber(x) && b.AsNumber(y)) return FloatArithmetic(op, x, y);
  if (op == "+" && text != nullptr && other != nullptr) return AddTexts(context, *text, *other);
  const Sequence *list = a.AsSequence(), *tail = b.AsSequence();
  if (op == "+" && IsListOrTuple(list) && IsListOrTuple(tail) && list->kind == tail->kind) {
    INGOT_TRY(context.Charge((list->items.size() + tail->items.size()) * sizeof(Value)));
    std::vector<Value> items = list->items;
    items.insert(items.end(), tail->items.begin(), tail->items.end());
    return context.NewSequence(list->kind, std::move(items));
  }
  if (op == "*" && (text != nullptr || IsListOrTuple(list)) && b.AsInt(j))
    return Repeat(context, a, j);
  if (op == "*" && (other != nullptr || IsListOrTuple(tail)) && a.AsInt(i))
    return Repeat(context, b, i);
  return TypesDiffer(op, a, b);
}

Result<Value> Signed(std::string_view op, const Value& a) {
  INGOT_TRY(Defined(a));
  std::int64_t i = 0;
  if (a.AsInt(i)) {
    if (op == "+") return Value(i);
    if (i == std::numeric_limits<std::int64_t>::min()) return TooLarge();
    return Value(-i);
  }
  if (const double* d = a.Float()) return Value(op == "+" ? *d : -*d);
  return InvalidArgument(fmt::format("bad operand type for unary {}: {}", op, a.TypeName()));
}

Result<bool> Less(const Value& a, const Value& b) {
  INGOT_TRY(Defined(a));
  INGOT_TRY(Defined(b));
  std::int64_t i = 0, j = 0;
  double x = 0, y = 0;
  if (a.AsInt(i) && b.AsInt(j)) return i < j;
  if (a.AsNumber(x) && b.AsNumber(y)) return x < y;
  if (a.AsText() != nullptr && b.AsText() != nullptr) return a.AsText()->bytes < b.AsText()->bytes;
  const Sequence *list = a.AsSequence(), *other = b.AsSequence();
  if (IsListOrTuple(list) && IsListOrTuple(other) && list->kind == other->kind) {
    for (std::size_t k = 0; k < std::min(list->items.size(), other->items.size()); ++k)
      if (!list->items[k].Equals(other->items[k])) return Less(list->items[k], other->items[k]);
    return list->items.size() < other->items.size();
  }
  return TypesDiffer("<", a, b);
}

Result<bool> Compare(std::string_view op, const Value& a, const Value& b) {
  if (op == "==") return a.Equals(b);
  if (op == "!=") return !a.Equals(b);
  if (op == "in") return Contains(b, a);
  if (op == "not in") {
    INGOT_ASSIGN(const bool in, Contains(b, a));
    return !in;
  }
  if (op == "<") return Less(a, b);
  if (op == ">") return Less(b, a);
  INGOT_ASSIGN(const bool strictly, op == "<=" ? Less(a, b) : Less(b, a));
  return strictly || a.Equals(b);
}

Result<Value> Slice(Context& context, const Value& value, const Value* begin, const Value* end,
                    const Value* step) {
  INGOT_TRY(Defined(value));
  if (const Text* text = value.AsText()) {
    INGOT_TRY(context.Charge(text->bytes.size() * sizeof(std::string_view)));
    const auto characters = Characters(text->bytes);
    INGOT_ASSIGN(const auto indices,
                 SliceIndices(static_cast<std::int64_t>(characters.size()), begin, end, step));
    std::string out;
    for (const std::size_t i : indices) out += characters[i];
    return context.NewText(std::move(out), text->safe);
  }
  const Sequence* list = value.AsSequence();
  if (list == nullptr || list->kind == SequenceKind::kGenerator ||
      list->kind == SequenceKind::kView)
    return InvalidArgument(fmt::format("a value of type {} has no slices", value.TypeName()));
  INGOT_ASSIGN(const auto indices,
               SliceIndices(static_cast<std::int64_t>(list->items.size()), begin, end, step));
  std::vector<Value> out;
  for (const std::size_t i : indices) out.push_back(list->items[i]);
  return context.NewSequence(list->kind, std::move(out));
}

}  // namespace ingot::model::chat
