#include "model/chat/template_value.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/text/utf8.h"

namespace ingot::model::chat {
namespace {

std::uint32_t DepthOver(const std::vector<Value>& items) {
  std::uint32_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return depth + 1;
}

bool SameItems(const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Value& x, const Value& y) { return x.Equals(y); });
}

// Texts are UTF-8 from here on.
std::string Repaired(std::string_view text) {
  std::string storage;
  return std::string(RepairUtf8(text, storage));
}

Status TooDeep() {
  return LimitExceeded("values are nested more than " + std::to_string(Value::kMaxDepth) + " deep");
}

}  // namespace

const Value* Dict::Find(const Value& key) const {
  for (const auto& [k, v] : items)
    if (k.Equals(key)) return &v;
  return nullptr;
}

const Value* Dict::Find(std::string_view key) const {
  for (const auto& [k, v] : items)
    if (const Text* text = k.AsText(); text != nullptr && text->bytes == key) return &v;
  return nullptr;
}

void Dict::Set(Value key, Value value) {
  for (auto& [k, v] : items)
    if (k.Equals(key)) {
      v = std::move(value);
      return;
    }
  items.emplace_back(std::move(key), std::move(value));
}

Value Value::MakeUndefined(std::string why) {
  Value value;
  value.data_ = std::make_shared<const Undefined>(Undefined{std::move(why)});
  return value;
}

Result<Value> Value::Make(SequenceKind kind, std::vector<Value> items) {
  Value value;
  value.depth_ = DepthOver(items);
  if (value.depth_ > kMaxDepth) return TooDeep();
  value.data_ = std::make_shared<Sequence>(Sequence{kind, std::move(items)});
  return value;
}

Result<Value> Value::Make(Dict dict) {
  Value value;
  for (const auto& [k, v] : dict.items)
    value.depth_ = std::max({value.depth_, k.depth(), v.depth()});
  if (++value.depth_ > kMaxDepth) return TooDeep();
  value.data_ = std::make_shared<const Dict>(std::move(dict));
  return value;
}

Value Value::FromJson(const nlohmann::ordered_json& json) {
  Value value;
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_unsigned() &&
      json.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
    return json.get<double>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return Repaired(json.get_ref<const std::string&>());
  if (json.is_array()) {
    Sequence list;
    for (const auto& item : json) list.items.push_back(FromJson(item));
    value.depth_ = DepthOver(list.items);
    value.data_ = std::make_shared<Sequence>(std::move(list));
  } else if (json.is_object()) {
    Dict dict;
    for (const auto& [key, item] : json.items()) {
      dict.items.emplace_back(Repaired(key), FromJson(item));
      value.depth_ = std::max(value.depth_, dict.items.back().second.depth());
    }
    ++value.depth_;
    value.data_ = std::make_shared<const Dict>(std::move(dict));
  }
  return value;
}

bool Value::AsInt(std::int64_t& out) const {
  if (const auto* i = Get<std::int64_t>()) {
    out = *i;
  } else if (const bool* b = Bool()) {
    out = *b ? 1 : 0;
  } else {
    return false;
  }
  return true;
}

bool Value::AsNumber(double& out) const {
  std::int64_t i = 0;
  if (const double* d = Float()) {
    out = *d;
  } else if (AsInt(i)) {
    out = static_cast<double>(i);
  } else {
    return false;
  }
  return true;
}

bool Value::Truthy() const {
  double number = 0;
  if (IsNone() || IsUndefined()) return false;
  if (AsNumber(number)) return number != 0;
  if (const Text* text = AsText()) return !text->bytes.empty();
  if (const Sequence* list = AsSequence())
    return list->kind == SequenceKind::kGenerator || !list->items.empty();
  if (const Dict* dict = AsDict()) return !dict->items.empty();
  return true;
}

bool Value::Equals(const Value& other) const {
  double a = 0, b = 0;
  std::int64_t i = 0, j = 0;
  if (AsInt(i) && other.AsInt(j)) return i == j;
  if (AsNumber(a) || other.AsNumber(b)) return AsNumber(a) && other.AsNumber(b) && a == b;
  if (IsNone() || other.IsNone()) return IsNone() && other.IsNone();
  if (IsUndefined() || other.IsUndefined()) return IsUndefined() && other.IsUndefined();
  const Text *text = AsText(), *other_text = other.AsText();
  if (text != nullptr || other_text != nullptr)
    return text != nullptr && other_text != nullptr && text->bytes == other_text->bytes;
  const Sequence *list = AsSequence(), *other_list = other.AsSequence();
  if (list != nullptr && other_list != nullptr) {
    if (list == other_list) return true;
    return list->kind == other_list->kind && list->kind != SequenceKind::kGenerator &&
           SameItems(list->items, other_list->items);
  }
  const Dict *dict = AsDict(), *other_dict = other.AsDict();
  if (dict != nullptr && other_dict != nullptr)
    return dict->items.size() == other_dict->items.size() &&
           std::ranges::all_of(dict->items, [&](const auto& item) {
             const Value* found = other_dict->Find(item.first);
             return found != nullptr && found->Equals(item.second);
           });
  if (AsNamespace() != nullptr) return AsNamespace() == other.AsNamespace();
  if (AsMacro() != nullptr && other.AsMacro() != nullptr)
    return AsMacro()->node == other.AsMacro()->node;
  return false;
}

std::string Value::TypeName() const {
  if (IsNone()) return "None";
  if (Bool() != nullptr) return "bool object";
  if (Get<std::int64_t>() != nullptr) return "int object";
  if (Float() != nullptr) return "float object";
  if (const Text* text = AsText()) return text->safe ? "markupsafe.Markup object" : "str object";
  if (const Sequence* list = AsSequence()) {
    switch (list->kind) {
      case SequenceKind::kList:
        return "list object";
      case SequenceKind::kTuple:
        return "tuple object";
      case SequenceKind::kRange:
        return "range object";
      case SequenceKind::kView:
        return "dict_items object";
      case SequenceKind::kGenerator:
        return "generator object";
    }
  }
  if (AsDict() != nullptr) return "dict object";
  if (AsNamespace() != nullptr) return "jinja2.utils.Namespace object";
  if (AsMacro() != nullptr) return "jinja2.runtime.Macro object";
  if (IsUndefined()) return "undefined value";
  return "builtin_function_or_method object";
}

}  // namespace ingot::model::chat
