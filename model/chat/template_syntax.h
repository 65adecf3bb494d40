// A chat template as a tree, which the parser makes and the renderer walks.
//
// Thread rule: immutable once parsed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/chat/template_value.h"

namespace ingot::model::chat {

// Of expressions and of tags within each other.
inline constexpr std::uint32_t kMaxNesting = 200;

enum class ExprKind {
  kConst,
  kName,       // text
  kList,       // items
  kTuple,      // items
  kDict,       // items: key, value, key, value, ...
  kAttribute,  // items[0].text
  kItem,       // items[0][items[1]]
  kSlice,      // of items[0]: begin, end, step, null where left out
  kCall,       // items[0](arguments)
  kFilter,     // items[0] | text(arguments); items[0] is null in {% filter %}
  kTest,       // items[0] is text(arguments)
  kUnary,      // text: "-", "+", "not"
  kBinary,     // text: arithmetic, "and", "or"
  kConcat,     // items[0] ~ items[1] ~ ...
  kCompare,    // items[0] operators[0] items[1] operators[1] ...
  kCondition,  // items[0] if items[1] else items[2] (may be null)
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr spread, named_spread;  // *args, **kwargs
};

struct Expr {
  ExprKind kind = ExprKind::kConst;
  std::uint32_t line = 0;
  std::uint32_t depth = 1;
  std::string text;
  Value value;
  std::vector<ExprPtr> items;
  std::vector<std::string> operators;
  Arguments arguments;
};

// What a value is assigned to: a name, a namespace's attribute, or several of them.
struct Target {
  std::string name, attribute;
  std::vector<Target> several;
  bool is_several = false;
};

struct Stmt;
using Body = std::vector<Stmt>;

// {% macro name(parameters) %} and the body of {% call(parameters) %}.
struct MacroNode {
  std::string name;
  std::vector<std::pair<std::string, ExprPtr>>
      parameters;  // with defaults, null where there is none
  Body body;
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;
};

enum class StmtKind {
  kData,      // text
  kOutput,    // expr
  kIf,        // branches, other
  kFor,       // target, expr, test, body, other
  kSet,       // target, expr
  kSetBlock,  // target, body, filter
  kMacro,     // macro
  kCall,      // expr is the call, macro its body
  kFilter,    // filter over body
  kWith,      // assignments, body
  kScope,     // body in a scope of its own: {% generation %}
  kBreak,
  kContinue,
};

struct Stmt {
  StmtKind kind = StmtKind::kData;
  std::uint32_t line = 0;
  std::string text;
  ExprPtr expr, test, filter;
  Target target;
  Body body, other;
  std::vector<std::pair<ExprPtr, Body>> branches;
  std::vector<std::pair<Target, ExprPtr>> assignments;
  std::unique_ptr<MacroNode> macro;
};

}  // namespace ingot::model::chat
