// Walks a chat template's tree and writes its text, within limits: a template is data that nobody
// vouches for.
//
// Thread rule: a machine belongs to one thread and renders once.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/chat/template_context.h"
#include "model/chat/template_syntax.h"
#include "model/chat/template_value.h"

namespace ingot::model::chat {

// Names of one block; macros hold the one that they were defined in.
struct Scope {
  std::vector<std::pair<std::string, Value>> values;
  std::shared_ptr<Scope> parent;
  const Value* Find(std::string_view name) const;
  void Set(const std::string& name, Value value);
};

class Machine : public Context {
 public:
  explicit Machine(const RenderLimits& limits, std::optional<std::time_t> now = {})
      : Context(limits, now) {}

  // InvalidArgument with the template's line: what the template raises itself, and what Python
  // would (an undefined value used, types that do not go together); Limit past one of the limits.
  Result<std::string> Render(const Body& body, const nlohmann::ordered_json& variables);

  Result<Value> Attribute(const Value& value, const std::string& name) override;
  Result<Value> Item(const Value& value, const Value& key) override;

 private:
  enum class Flow { kNext, kBreak, kContinue };
  using ScopePtr = std::shared_ptr<Scope>;

  Result<Flow> Run(const Body& body, const ScopePtr& scope, std::string& out);
  Result<Flow> RunOne(const Stmt& stmt, const ScopePtr& scope, std::string& out);
  Result<Flow> RunFor(const Stmt& stmt, const ScopePtr& scope, std::string& out);
  Status RunScoped(const Body& body, const ScopePtr& parent, std::string& out);
  Status RunWith(const Stmt& stmt, const ScopePtr& scope, std::string& out);
  Status Append(std::string& out, std::string_view text);
  Status Assign(const Target& target, Value value, const ScopePtr& scope);

  Result<Value> Evaluate(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvaluateList(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvaluateDict(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvaluateSlice(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvaluateCompare(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvaluateBinary(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvaluateFilter(const Expr& expr, const ScopePtr& scope, const Value* body);
  Result<CallArguments> EvaluateArguments(const Arguments& arguments, const ScopePtr& scope);
  Value Lookup(const std::string& name, const Scope& scope) const;
  Result<Value> Call(const Value& callee, CallArguments arguments);
  Result<Value> CallMacro(const Macro& macro, CallArguments arguments);

  bool located_ = false;  // the error names its line
};

}  // namespace ingot::model::chat
