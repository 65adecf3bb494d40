#include "model/chat/template_context.h"

#include <fmt/format.h>

#include "model/chat/template_text.h"

namespace ingot::model::chat {

const Value* CallArguments::Find(std::size_t place, std::string_view name) const {
  if (place < positional.size()) return &positional[place];
  for (const auto& [known, value] : named)
    if (known == name) return &value;
  return nullptr;
}

Context::~Context() {
  for (const auto& space : namespaces_) space->values.clear();
}

Status Context::Charge(std::uint64_t bytes) {
  if (bytes > limits_.bytes - bytes_)
    return LimitExceeded(
        fmt::format("the template makes more than {} bytes of texts and lists", limits_.bytes));
  bytes_ += bytes;
  return OkStatus();
}

Status Context::Step() {
  if (depth_ > limits_.depth)
    return LimitExceeded(fmt::format("nested more than {} deep", limits_.depth));
  if (++steps_ > limits_.steps)
    return LimitExceeded(fmt::format("the template takes more than {} steps", limits_.steps));
  return OkStatus();
}

Result<Value> Context::NewText(std::string text, bool safe) {
  if (text.size() > limits_.text_bytes)
    return LimitExceeded(
        fmt::format("a text of {} bytes, at most {}", text.size(), limits_.text_bytes));
  INGOT_TRY(Charge(text.size()));
  return Value(std::move(text), safe);
}

Result<Value> Context::NewSequence(SequenceKind kind, std::vector<Value> items) {
  INGOT_TRY(Charge(items.size() * sizeof(Value)));
  return Value::Make(kind, std::move(items));
}

Result<Value> Context::NewDict(Dict dict) {
  INGOT_TRY(Charge(2 * dict.items.size() * sizeof(Value)));
  return Value::Make(std::move(dict));
}

Value Context::NewNamespace() {
  namespaces_.push_back(std::make_shared<Namespace>());
  return Value(namespaces_.back());
}

Result<std::vector<Value>> Context::Iterate(const Value& value) {
  std::vector<Value> out;
  if (value.IsUndefined()) return out;
  if (Sequence* list = value.AsSequence()) {
    INGOT_TRY(Charge(list->items.size() * sizeof(Value)));
    if (list->kind != SequenceKind::kGenerator) return list->items;
    if (!std::exchange(list->used, true)) out = std::move(list->items);
    list->items.clear();
    return out;
  }
  if (const Dict* dict = value.AsDict()) {
    INGOT_TRY(Charge(dict->items.size() * sizeof(Value)));
    for (const auto& item : dict->items) out.push_back(item.first);
    return out;
  }
  if (const Text* text = value.AsText()) {
    INGOT_TRY(Charge(text->bytes.size() * sizeof(Value)));
    for (const std::string_view c : Characters(text->bytes)) out.emplace_back(c);
    return out;
  }
  return InvalidArgument(fmt::format("a value of type {} is not iterable", value.TypeName()));
}

}  // namespace ingot::model::chat
