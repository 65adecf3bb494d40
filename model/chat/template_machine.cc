#include "model/chat/template_machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/chat/template_builtins.h"
#include "model/chat/template_operators.h"
#include "model/chat/template_text.h"

namespace ingot::model::chat {
namespace {

// A block's scope. Macros in it hold it, so it lets go of them when the block ends.
class ScopeGuard {
 public:
  explicit ScopeGuard(std::shared_ptr<Scope> parent) : scope_(std::make_shared<Scope>()) {
    scope_->parent = std::move(parent);
  }
  ~ScopeGuard() { scope_->values.clear(); }
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;
  const std::shared_ptr<Scope>& get() const { return scope_; }

 private:
  std::shared_ptr<Scope> scope_;
};

// `loop` in the body of a loop.
Result<Value> LoopValue(Machine& machine, const std::vector<Value>& items, std::size_t i) {
  const auto count = static_cast<std::int64_t>(items.size());
  const auto at = static_cast<std::int64_t>(i);
  Dict loop;
  const auto add = [&](const char* name, Value value) {
    loop.items.emplace_back(name, std::move(value));
  };
  add("index", at + 1);
  add("index0", at);
  add("first", i == 0);
  add("last", i + 1 == items.size());
  add("length", count);
  add("revindex", count - at);
  add("revindex0", count - at - 1);
  add("previtem", i > 0 ? items[i - 1] : Value::MakeUndefined("there is no previous item"));
  add("nextitem",
      i + 1 < items.size() ? items[i + 1] : Value::MakeUndefined("there is no next item"));
  add("depth", 1);
  add("depth0", 0);
  add("cycle", Function{"loop.cycle", std::make_shared<const Value>(at)});
  return machine.NewDict(std::move(loop));
}

}  // namespace

const Value* Scope::Find(std::string_view name) const {
  for (const auto& [known, value] : values)
    if (known == name) return &value;
  return nullptr;
}

void Scope::Set(const std::string& name, Value value) {
  for (auto& [known, old] : values)
    if (known == name) {
      old = std::move(value);
      return;
    }
  values.emplace_back(name, std::move(value));
}

Result<Value> Machine::Attribute(const Value& value, const std::string& name) {
  INGOT_TRY(Defined(value));
  if (name.starts_with("__") || ChangesItsObject(value, name))
    return Value::MakeUndefined(
        fmt::format("access to attribute '{}' of '{}' is unsafe", name, value.TypeName()));
  if (const Namespace* space = value.AsNamespace()) {
    const auto found = space->values.find(name);
    if (found != space->values.end()) return found->second;
  }
  if (HasMethod(value, name)) return Value(Method{std::make_shared<const Value>(value), name});
  if (const Dict* dict = value.AsDict())
    if (const Value* found = dict->Find(std::string_view(name))) return *found;
  return Value::MakeUndefined(fmt::format("'{}' has no attribute '{}'", value.TypeName(), name));
}

Result<Value> Machine::Item(const Value& value, const Value& key) {
  INGOT_TRY(Defined(value));
  if (const Dict* dict = value.AsDict())
    if (const Value* found = dict->Find(key)) return *found;
  std::int64_t index = 0;
  if (key.AsInt(index)) {
    const Sequence* list = value.AsSequence();
    const bool numbered = list != nullptr && list->kind != SequenceKind::kGenerator &&
                          list->kind != SequenceKind::kView;
    const Text* text = value.AsText();
    std::int64_t size = numbered          ? static_cast<std::int64_t>(list->items.size())
                        : text != nullptr ? CountCharacters(text->bytes)
                                          : 0;
    if (index < 0) index += size;
    if (index >= 0 && index < size) {
      if (numbered) return list->items[static_cast<std::size_t>(index)];
      const Value at(index), end(index + 1);
      return Slice(*this, value, &at, &end, nullptr);
    }
    return Value::MakeUndefined(
        fmt::format("'{}' has no element {}", value.TypeName(), ToRepr(key)));
  }
  if (key.AsText() != nullptr && value.AsDict() == nullptr)
    return Attribute(value, key.AsText()->bytes);
  if (key.AsText() != nullptr && HasMethod(value, key.AsText()->bytes))
    return Attribute(value, key.AsText()->bytes);
  return Value::MakeUndefined(fmt::format("'{}' has no {} {}", value.TypeName(),
                                          key.AsText() != nullptr ? "attribute" : "element",
                                          ToRepr(key)));
}

Result<std::string> Machine::Render(const Body& body, const nlohmann::ordered_json& variables) {
  const ScopeGuard root(nullptr);
  for (const auto& [name, value] : variables.items())
    root.get()->values.emplace_back(name, Value::FromJson(value));
  std::string out;
  INGOT_ASSIGN(const Flow flow, Run(body, root.get(), out));
  (void)flow;
  return out;
}

Status Machine::Append(std::string& out, std::string_view text) {
  INGOT_TRY(Charge(text.size()));
  if (text.size() > limits().text_bytes - std::min<std::uint64_t>(out.size(), limits().text_bytes))
    return LimitExceeded(fmt::format("the text is longer than {} bytes", limits().text_bytes));
  out += text;
  return OkStatus();
}

Result<Machine::Flow> Machine::Run(const Body& body, const ScopePtr& scope, std::string& out) {
  const Deeper deeper(*this);
  for (const Stmt& stmt : body) {
    Result<Flow> flow = RunOne(stmt, scope, out);
    if (!flow.ok()) {
      if (std::exchange(located_, true)) return flow;
      return std::move(flow).At(fmt::format("line {}", stmt.line));
    }
    if (*flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Status Machine::RunScoped(const Body& body, const ScopePtr& parent, std::string& out) {
  const ScopeGuard inner(parent);
  INGOT_ASSIGN(const Flow flow, Run(body, inner.get(), out));
  (void)flow;
  return OkStatus();
}

Result<Machine::Flow> Machine::RunOne(const Stmt& stmt, const ScopePtr& scope, std::string& out) {
  INGOT_TRY(Step());
  switch (stmt.kind) {
    case StmtKind::kData:
      INGOT_TRY(Append(out, stmt.text));
      break;
    case StmtKind::kOutput: {
      INGOT_ASSIGN(const Value value, Evaluate(*stmt.expr, scope));
      INGOT_TRY(Append(out, ToText(value)));
      break;
    }
    case StmtKind::kIf: {
      for (const auto& [test, body] : stmt.branches) {
        INGOT_ASSIGN(const Value value, Evaluate(*test, scope));
        if (value.Truthy()) return Run(body, scope, out);
      }
      return Run(stmt.other, scope, out);
    }
    case StmtKind::kFor:
      return RunFor(stmt, scope, out);
    case StmtKind::kSet: {
      INGOT_ASSIGN(Value value, Evaluate(*stmt.expr, scope));
      INGOT_TRY(Assign(stmt.target, std::move(value), scope));
      break;
    }
    case StmtKind::kSetBlock: {
      std::string text;
      INGOT_TRY(RunScoped(stmt.body, scope, text));
      INGOT_ASSIGN(Value value, NewText(std::move(text)));
      if (stmt.filter != nullptr) {
        INGOT_ASSIGN(value, EvaluateFilter(*stmt.filter, scope, &value));
      }
      INGOT_TRY(Assign(stmt.target, std::move(value), scope));
      break;
    }
    case StmtKind::kMacro:
      scope->Set(stmt.macro->name, Macro{stmt.macro.get(), scope});
      break;
    case StmtKind::kCall: {
      INGOT_ASSIGN(const Value callee, Evaluate(*stmt.expr->items[0], scope));
      INGOT_ASSIGN(CallArguments arguments, EvaluateArguments(stmt.expr->arguments, scope));
      arguments.named.emplace_back("caller", Macro{stmt.macro.get(), scope});
      INGOT_ASSIGN(const Value value, Call(callee, std::move(arguments)));
      INGOT_TRY(Append(out, ToText(value)));
      break;
    }
    case StmtKind::kFilter: {
      std::string text;
      INGOT_TRY(RunScoped(stmt.body, scope, text));
      INGOT_ASSIGN(const Value body, NewText(std::move(text)));
      INGOT_ASSIGN(const Value value, EvaluateFilter(*stmt.filter, scope, &body));
      INGOT_TRY(Append(out, ToText(value)));
      break;
    }
    case StmtKind::kWith:
      INGOT_TRY(RunWith(stmt, scope, out));
      break;
    case StmtKind::kScope:
      INGOT_TRY(RunScoped(stmt.body, scope, out));
      break;
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Status Machine::RunWith(const Stmt& stmt, const ScopePtr& scope, std::string& out) {
  const ScopeGuard inner(scope);
  for (const auto& [target, expr] : stmt.assignments) {
    INGOT_ASSIGN(Value value, Evaluate(*expr, scope));
    inner.get()->Set(target.name, std::move(value));
  }
  INGOT_ASSIGN(const Flow flow, Run(stmt.body, inner.get(), out));
  (void)flow;
  return OkStatus();
}

Result<Machine::Flow> Machine::RunFor(const Stmt& stmt, const ScopePtr& scope, std::string& out) {
  INGOT_ASSIGN(const Value over, Evaluate(*stmt.expr, scope));
  INGOT_ASSIGN(std::vector<Value> items, Iterate(over));
  if (stmt.test != nullptr) {
    std::vector<Value> kept;
    for (const Value& item : items) {
      const ScopeGuard inner(scope);
      INGOT_TRY(Assign(stmt.target, item, inner.get()));
      INGOT_ASSIGN(const Value wanted, Evaluate(*stmt.test, inner.get()));
      if (wanted.Truthy()) kept.push_back(item);
    }
    items = std::move(kept);
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    INGOT_TRY(Step());
    const ScopeGuard inner(scope);
    INGOT_ASSIGN(Value loop, LoopValue(*this, items, i));
    inner.get()->Set("loop", std::move(loop));
    INGOT_TRY(Assign(stmt.target, items[i], inner.get()));
    INGOT_ASSIGN(const Flow flow, Run(stmt.body, inner.get(), out));
    if (flow == Flow::kBreak) break;
  }
  if (!items.empty()) return Flow::kNext;
  const ScopeGuard inner(scope);
  return Run(stmt.other, inner.get(), out);
}

Status Machine::Assign(const Target& target, Value value, const ScopePtr& scope) {
  if (target.is_several) {
    INGOT_ASSIGN(std::vector<Value> items, Iterate(value));
    if (items.size() != target.several.size())
      return InvalidArgument(
          fmt::format("{} values for {} names", items.size(), target.several.size()));
    for (std::size_t i = 0; i < items.size(); ++i)
      INGOT_TRY(Assign(target.several[i], std::move(items[i]), scope));
    return OkStatus();
  }
  if (target.attribute.empty()) {
    scope->Set(target.name, std::move(value));
    return OkStatus();
  }
  const Value holder = Lookup(target.name, *scope);
  Namespace* space = holder.AsNamespace();
  if (space == nullptr)
    return InvalidArgument("an attribute can be set on a namespace alone, not on '" + target.name +
                           "'");
  space->values.insert_or_assign(target.attribute, std::move(value));
  return OkStatus();
}

Value Machine::Lookup(const std::string& name, const Scope& scope) const {
  for (const Scope* s = &scope; s != nullptr; s = s->parent.get())
    if (const Value* found = s->Find(name)) return *found;
  if (IsFunction(name)) return Function{name, nullptr};
  return Value::MakeUndefined("'" + name + "' is undefined");
}

Result<Value> Machine::Evaluate(const Expr& expr, const ScopePtr& scope) {
  const Deeper deeper(*this);
  INGOT_TRY(Step());
  switch (expr.kind) {
    case ExprKind::kConst:
      return expr.value;
    case ExprKind::kName:
      return Lookup(expr.text, *scope);
    case ExprKind::kList:
    case ExprKind::kTuple:
      return EvaluateList(expr, scope);
    case ExprKind::kDict:
      return EvaluateDict(expr, scope);
    case ExprKind::kAttribute: {
      INGOT_ASSIGN(const Value value, Evaluate(*expr.items[0], scope));
      return Attribute(value, expr.text);
    }
    case ExprKind::kItem: {
      INGOT_ASSIGN(const Value value, Evaluate(*expr.items[0], scope));
      INGOT_ASSIGN(const Value key, Evaluate(*expr.items[1], scope));
      return Item(value, key);
    }
    case ExprKind::kSlice:
      return EvaluateSlice(expr, scope);
    case ExprKind::kCall: {
      INGOT_ASSIGN(const Value callee, Evaluate(*expr.items[0], scope));
      INGOT_ASSIGN(CallArguments arguments, EvaluateArguments(expr.arguments, scope));
      return Call(callee, std::move(arguments));
    }
    case ExprKind::kFilter:
      return EvaluateFilter(expr, scope, nullptr);
    case ExprKind::kTest: {
      INGOT_ASSIGN(const Value value, Evaluate(*expr.items[0], scope));
      INGOT_ASSIGN(const CallArguments arguments, EvaluateArguments(expr.arguments, scope));
      INGOT_ASSIGN(const bool passed, ApplyTest(*this, expr.text, value, arguments));
      return Value(passed);
    }
    case ExprKind::kUnary: {
      INGOT_ASSIGN(const Value value, Evaluate(*expr.items[0], scope));
      if (expr.text == "not") return Value(!value.Truthy());
      return Signed(expr.text, value);
    }
    case ExprKind::kBinary:
      return EvaluateBinary(expr, scope);
    case ExprKind::kConcat: {
      std::string text;
      for (const ExprPtr& item : expr.items) {
        INGOT_ASSIGN(const Value value, Evaluate(*item, scope));
        text += ToText(value);
      }
      return NewText(std::move(text));
    }
    case ExprKind::kCompare:
      return EvaluateCompare(expr, scope);
    case ExprKind::kCondition: {
      INGOT_ASSIGN(const Value test, Evaluate(*expr.items[1], scope));
      if (test.Truthy()) return Evaluate(*expr.items[0], scope);
      if (expr.items[2] != nullptr) return Evaluate(*expr.items[2], scope);
      return Value::MakeUndefined("the condition was false and there is no else");
    }
  }
  return Value();
}

Result<Value> Machine::EvaluateList(const Expr& expr, const ScopePtr& scope) {
  std::vector<Value> items;
  for (const ExprPtr& item : expr.items) {
    INGOT_ASSIGN(Value value, Evaluate(*item, scope));
    items.push_back(std::move(value));
  }
  return NewSequence(expr.kind == ExprKind::kList ? SequenceKind::kList : SequenceKind::kTuple,
                     std::move(items));
}

Result<Value> Machine::EvaluateDict(const Expr& expr, const ScopePtr& scope) {
  Dict dict;
  for (std::size_t i = 0; i < expr.items.size(); i += 2) {
    INGOT_ASSIGN(Value key, Evaluate(*expr.items[i], scope));
    INGOT_ASSIGN(Value value, Evaluate(*expr.items[i + 1], scope));
    const Sequence* list = key.AsSequence();
    if (key.AsDict() != nullptr || (list != nullptr && list->kind == SequenceKind::kList))
      return InvalidArgument("a value of type " + key.TypeName() + " is no key");
    dict.Set(std::move(key), std::move(value));
  }
  return NewDict(std::move(dict));
}

Result<Value> Machine::EvaluateSlice(const Expr& expr, const ScopePtr& scope) {
  INGOT_ASSIGN(const Value value, Evaluate(*expr.items[0], scope));
  Value parts[3];
  const Value* given[3] = {};
  for (std::size_t i = 0; i < 3; ++i)
    if (expr.items[i + 1] != nullptr) {
      INGOT_ASSIGN(parts[i], Evaluate(*expr.items[i + 1], scope));
      given[i] = &parts[i];
    }
  return Slice(*this, value, given[0], given[1], given[2]);
}

Result<Value> Machine::EvaluateCompare(const Expr& expr, const ScopePtr& scope) {
  INGOT_ASSIGN(Value left, Evaluate(*expr.items[0], scope));
  for (std::size_t i = 0; i < expr.operators.size(); ++i) {
    INGOT_ASSIGN(Value right, Evaluate(*expr.items[i + 1], scope));
    INGOT_ASSIGN(const bool holds, Compare(expr.operators[i], left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Machine::EvaluateBinary(const Expr& expr, const ScopePtr& scope) {
  INGOT_ASSIGN(Value left, Evaluate(*expr.items[0], scope));
  if (expr.text == "and" || expr.text == "or") {
    if (left.Truthy() == (expr.text == "or")) return left;
    return Evaluate(*expr.items[1], scope);
  }
  INGOT_ASSIGN(const Value right, Evaluate(*expr.items[1], scope));
  return Arithmetic(*this, expr.text, left, right);
}

Result<Value> Machine::EvaluateFilter(const Expr& expr, const ScopePtr& scope, const Value* body) {
  const Deeper deeper(*this);
  INGOT_TRY(Step());
  Value value;
  if (expr.items[0] == nullptr) {
    value = *body;
  } else if (body != nullptr) {
    INGOT_ASSIGN(value, EvaluateFilter(*expr.items[0], scope, body));
  } else {
    INGOT_ASSIGN(value, Evaluate(*expr.items[0], scope));
  }
  INGOT_ASSIGN(const CallArguments arguments, EvaluateArguments(expr.arguments, scope));
  return ApplyFilter(*this, expr.text, value, arguments);
}

Result<CallArguments> Machine::EvaluateArguments(const Arguments& arguments,
                                                 const ScopePtr& scope) {
  CallArguments out;
  for (const ExprPtr& item : arguments.positional) {
    INGOT_ASSIGN(Value value, Evaluate(*item, scope));
    out.positional.push_back(std::move(value));
  }
  for (const auto& [name, item] : arguments.named) {
    INGOT_ASSIGN(Value value, Evaluate(*item, scope));
    out.named.emplace_back(name, std::move(value));
  }
  if (arguments.spread != nullptr) {
    INGOT_ASSIGN(const Value value, Evaluate(*arguments.spread, scope));
    INGOT_ASSIGN(std::vector<Value> items, Iterate(value));
    for (Value& item : items) out.positional.push_back(std::move(item));
  }
  if (arguments.named_spread != nullptr) {
    INGOT_ASSIGN(const Value value, Evaluate(*arguments.named_spread, scope));
    if (value.AsDict() == nullptr) return InvalidArgument("arguments after ** are no mapping");
    for (const auto& [key, item] : value.AsDict()->items) out.named.emplace_back(ToText(key), item);
  }
  return out;
}

Result<Value> Machine::Call(const Value& callee, CallArguments arguments) {
  const Deeper deeper(*this);
  INGOT_TRY(Step());
  INGOT_TRY(Defined(callee));
  if (const Macro* macro = callee.AsMacro()) return CallMacro(*macro, std::move(arguments));
  if (const Method* method = callee.AsMethod())
    return CallMethod(*this, *method->object, method->name, arguments);
  if (const Function* function = callee.AsFunction())
    return CallFunction(*this, *function, arguments);
  return InvalidArgument(fmt::format("a value of type {} cannot be called", callee.TypeName()));
}

Result<Value> Machine::CallMacro(const Macro& macro, CallArguments arguments) {
  const MacroNode& node = *macro.node;
  const ScopeGuard inner(macro.scope);
  std::vector<bool> used(arguments.named.size(), false);
  std::size_t place = 0;
  for (const auto& [name, otherwise] : node.parameters) {
    Value value = Value::MakeUndefined("parameter '" + name + "' was not provided");
    bool given = place < arguments.positional.size();
    if (given) value = std::move(arguments.positional[place++]);
    for (std::size_t i = 0; !given && i < arguments.named.size(); ++i)
      if (arguments.named[i].first == name) {
        value = std::move(arguments.named[i].second);
        given = used[i] = true;
      }
    if (!given && otherwise != nullptr) {
      INGOT_ASSIGN(value, Evaluate(*otherwise, inner.get()));
    }
    inner.get()->Set(name, std::move(value));
  }
  std::vector<Value> varargs(arguments.positional.begin() + static_cast<std::ptrdiff_t>(place),
                             arguments.positional.end());
  if (!varargs.empty() && !node.uses_varargs)
    return InvalidArgument(fmt::format("macro '{}' takes not more than {} arguments", node.name,
                                       node.parameters.size()));
  Dict kwargs;
  for (std::size_t i = 0; i < arguments.named.size(); ++i) {
    auto& [name, value] = arguments.named[i];
    if (used[i]) continue;
    if (name == "caller" && node.uses_caller) {
      inner.get()->Set("caller", std::move(value));
    } else if (node.uses_kwargs) {
      kwargs.Set(name, std::move(value));
    } else {
      return InvalidArgument(fmt::format("macro '{}' takes no argument '{}'", node.name, name));
    }
  }
  if (node.uses_varargs) {
    INGOT_ASSIGN(Value rest, NewSequence(SequenceKind::kTuple, std::move(varargs)));
    inner.get()->Set("varargs", std::move(rest));
  }
  if (node.uses_kwargs) {
    INGOT_ASSIGN(Value rest, NewDict(std::move(kwargs)));
    inner.get()->Set("kwargs", std::move(rest));
  }
  std::string text;
  INGOT_ASSIGN(const Flow flow, Run(node.body, inner.get(), text));
  (void)flow;
  return NewText(std::move(text));
}

}  // namespace ingot::model::chat
