#include "model/chat/template_expressions.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace ingot::model::chat {

Status TokenCursor::Fail(const std::string& what) const {
  return InvalidArgument(fmt::format("line {}: {}", Now().line, what));
}

std::string TokenCursor::Describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "text";
    case TokenKind::kBlockEnd:
    case TokenKind::kVariableEnd:
      return "end of tag";
    case TokenKind::kEnd:
      return "end of template";
    default:
      return "'" + token.text.substr(0, 40) + "'";
  }
}

Status TokenCursor::Unexpected(std::string_view wanted) const {
  return Fail(fmt::format("{} was expected, not {}", wanted, Describe(Now())));
}

Status TokenCursor::ExpectOp(std::string_view op) {
  return SkipOp(op) ? OkStatus() : Unexpected(fmt::format("'{}'", op));
}

Status TokenCursor::ExpectName(std::string_view name) {
  return SkipName(name) ? OkStatus() : Unexpected(fmt::format("'{}'", name));
}

Result<std::string> TokenCursor::AnyName() {
  if (Now().kind != TokenKind::kName) return Unexpected("a name");
  return Next().text;
}

Status TokenCursor::Expect(TokenKind kind) {
  if (Now().kind != kind) return Unexpected("the end of the tag");
  Next();
  return OkStatus();
}

Status TokenCursor::CheckDepth() const {
  if (nesting_ <= kMaxNesting) return OkStatus();
  return LimitExceeded(fmt::format("line {}: nested more than {} deep", Now().line, kMaxNesting));
}

ExprPtr ExpressionParser::Make(ExprKind kind, std::string text) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = Now().line;
  expr->text = std::move(text);
  return expr;
}

Result<ExprPtr> ExpressionParser::Measured(ExprPtr expr) const {
  std::uint32_t depth = 0;
  const auto add = [&](const ExprPtr& part) {
    if (part != nullptr) depth = std::max(depth, part->depth);
  };
  for (const ExprPtr& part : expr->items) add(part);
  for (const ExprPtr& part : expr->arguments.positional) add(part);
  for (const auto& [name, part] : expr->arguments.named) add(part);
  add(expr->arguments.spread);
  add(expr->arguments.named_spread);
  expr->depth = depth + 1;
  if (expr->depth > kMaxNesting)
    return LimitExceeded(
        fmt::format("line {}: an expression is nested more than {} deep", expr->line, kMaxNesting));
  return expr;
}

Result<ExprPtr> ExpressionParser::Expression(bool conditions) {
  const Deeper deeper(nesting_);
  INGOT_TRY(CheckDepth());
  return conditions ? Condition() : Or();
}

Result<ExprPtr> ExpressionParser::Condition() {
  INGOT_ASSIGN(ExprPtr value, Or());
  while (SkipName("if")) {
    INGOT_ASSIGN(ExprPtr test, Or());
    ExprPtr other;
    if (SkipName("else")) {
      INGOT_ASSIGN(other, Expression());
    }
    INGOT_ASSIGN(value, Over(Make(ExprKind::kCondition), std::move(value), std::move(test),
                             std::move(other)));
  }
  return value;
}

template <typename Below>
Result<ExprPtr> ExpressionParser::Chain(Words names, Words ops, Below below) {
  INGOT_ASSIGN(ExprPtr left, (this->*below)());
  for (;;) {
    const TokenKind kind = Now().kind;
    const bool goes_on =
        (kind == TokenKind::kName && std::ranges::find(names, Now().text) != names.end()) ||
        (kind == TokenKind::kOperator && std::ranges::find(ops, Now().text) != ops.end());
    if (!goes_on) return left;
    ExprPtr expr = Make(ExprKind::kBinary, Next().text);
    INGOT_ASSIGN(ExprPtr right, (this->*below)());
    INGOT_ASSIGN(left, Over(std::move(expr), std::move(left), std::move(right)));
  }
}

Result<ExprPtr> ExpressionParser::Or() { return Chain({"or"}, {}, &ExpressionParser::And); }

Result<ExprPtr> ExpressionParser::And() { return Chain({"and"}, {}, &ExpressionParser::Not); }

Result<ExprPtr> ExpressionParser::Not() {
  if (!IsName("not")) return Compare();
  const Deeper deeper(nesting_);
  INGOT_TRY(CheckDepth());
  Next();
  INGOT_ASSIGN(ExprPtr operand, Not());
  return Over(Make(ExprKind::kUnary, "not"), std::move(operand));
}

Result<ExprPtr> ExpressionParser::Compare() {
  INGOT_ASSIGN(ExprPtr first, Sum());
  ExprPtr expr = Make(ExprKind::kCompare);
  expr->items.push_back(std::move(first));
  static constexpr std::string_view kOps[] = {"==", "!=", "<", "<=", ">", ">="};
  for (;;) {
    if (Now().kind == TokenKind::kOperator &&
        std::ranges::find(kOps, Now().text) != std::end(kOps)) {
      expr->operators.push_back(Next().text);
    } else if (SkipName("in")) {
      expr->operators.emplace_back("in");
    } else if (IsName("not") && Ahead().Is(TokenKind::kName, "in")) {
      Next();
      Next();
      expr->operators.emplace_back("not in");
    } else {
      break;
    }
    INGOT_ASSIGN(ExprPtr right, Sum());
    expr->items.push_back(std::move(right));
  }
  if (expr->operators.empty()) return std::move(expr->items[0]);
  return Measured(std::move(expr));
}

Result<ExprPtr> ExpressionParser::Sum() { return Chain({}, {"+", "-"}, &ExpressionParser::Concat); }

Result<ExprPtr> ExpressionParser::Concat() {
  INGOT_ASSIGN(ExprPtr first, Product());
  if (!IsOp("~")) return first;
  ExprPtr expr = Make(ExprKind::kConcat);
  expr->items.push_back(std::move(first));
  while (SkipOp("~")) {
    INGOT_ASSIGN(ExprPtr next, Product());
    expr->items.push_back(std::move(next));
  }
  return Measured(std::move(expr));
}

Result<ExprPtr> ExpressionParser::Product() {
  return Chain({}, {"*", "/", "//", "%"}, &ExpressionParser::Power);
}

Result<ExprPtr> ExpressionParser::Power() {
  return Chain({}, {"**"}, &ExpressionParser::UnaryWithFilters);
}

Result<ExprPtr> ExpressionParser::UnaryWithFilters() { return Unary(true); }

Result<ExprPtr> ExpressionParser::Unary(bool filters) {
  const Deeper deeper(nesting_);
  INGOT_TRY(CheckDepth());
  ExprPtr value;
  if (IsOp("-") || IsOp("+")) {
    ExprPtr expr = Make(ExprKind::kUnary, Next().text);
    INGOT_ASSIGN(ExprPtr operand, Unary(false));
    INGOT_ASSIGN(value, Over(std::move(expr), std::move(operand)));
  } else {
    INGOT_ASSIGN(value, Primary());
  }
  INGOT_ASSIGN(value, Postfix(std::move(value)));
  if (filters) {
    INGOT_ASSIGN(value, Filters(std::move(value)));
  }
  return value;
}

ExprPtr ExpressionParser::Const(Value value) const {
  ExprPtr expr = Make(ExprKind::kConst);
  expr->value = std::move(value);
  return expr;
}

Result<ExprPtr> ExpressionParser::Primary() {
  const Token token = Now();
  switch (token.kind) {
    case TokenKind::kName:
      Next();
      if (token.text == "true" || token.text == "True") return Const(true);
      if (token.text == "false" || token.text == "False") return Const(false);
      if (token.text == "none" || token.text == "None") return Const(Value());
      return Make(ExprKind::kName, token.text);
    case TokenKind::kText: {
      std::string text;
      while (Now().kind == TokenKind::kText) text += Next().text;
      return Const(std::move(text));
    }
    case TokenKind::kInteger:
      return Const(Integer(Next().text));
    case TokenKind::kFloat: {
      double value = 0;
      std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
      Next();
      return Const(value);
    }
    default:
      break;
  }
  if (SkipOp("(")) {
    INGOT_ASSIGN(ExprPtr tuple, Tuple({}, true, true));
    INGOT_TRY(ExpectOp(")"));
    return tuple;
  }
  if (SkipOp("[")) return List(ExprKind::kList, "]");
  if (SkipOp("{")) return DictLiteral();
  return Unexpected("an expression");
}

std::int64_t ExpressionParser::Integer(const std::string& digits) {
  std::int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

Result<ExprPtr> ExpressionParser::List(ExprKind kind, std::string_view close) {
  ExprPtr expr = Make(kind);
  while (!IsOp(close)) {
    if (!expr->items.empty()) {
      INGOT_TRY(ExpectOp(","));
      if (IsOp(close)) break;
    }
    INGOT_ASSIGN(ExprPtr item, Expression());
    expr->items.push_back(std::move(item));
  }
  Next();
  return Measured(std::move(expr));
}

Result<ExprPtr> ExpressionParser::DictLiteral() {
  ExprPtr expr = Make(ExprKind::kDict);
  while (!IsOp("}")) {
    if (!expr->items.empty()) {
      INGOT_TRY(ExpectOp(","));
      if (IsOp("}")) break;
    }
    INGOT_ASSIGN(ExprPtr key, Expression());
    INGOT_TRY(ExpectOp(":"));
    INGOT_ASSIGN(ExprPtr value, Expression());
    expr->items.push_back(std::move(key));
    expr->items.push_back(std::move(value));
  }
  Next();
  return Measured(std::move(expr));
}

Result<ExprPtr> ExpressionParser::Tuple(std::string_view end, bool conditions,
                                        bool in_parentheses) {
  ExprPtr expr = Make(ExprKind::kTuple);
  bool several = false;
  const auto ended = [&] {
    return Now().kind == TokenKind::kBlockEnd || Now().kind == TokenKind::kVariableEnd ||
           IsOp(")") || (!end.empty() && IsName(end));
  };
  for (;;) {
    if (!expr->items.empty()) INGOT_TRY(ExpectOp(","));
    if (ended()) break;
    INGOT_ASSIGN(ExprPtr item, Expression(conditions));
    expr->items.push_back(std::move(item));
    if (!IsOp(",")) break;
    several = true;
  }
  if (several || (expr->items.empty() && in_parentheses)) return Measured(std::move(expr));
  if (expr->items.empty()) return Unexpected("an expression");
  return std::move(expr->items[0]);
}

Result<ExprPtr> ExpressionParser::Postfix(ExprPtr value) {
  for (;;) {
    if (SkipOp(".")) {
      if (Now().kind == TokenKind::kInteger) {
        const std::int64_t number = Integer(Next().text);
        INGOT_ASSIGN(value, Over(Make(ExprKind::kItem), std::move(value), Const(number)));
        continue;
      }
      INGOT_ASSIGN(std::string name, AnyName());
      INGOT_ASSIGN(value, Over(Make(ExprKind::kAttribute, std::move(name)), std::move(value)));
    } else if (SkipOp("[")) {
      INGOT_ASSIGN(value, Subscript(std::move(value)));
    } else if (IsOp("(")) {
      INGOT_ASSIGN(value, Call(std::move(value)));
    } else {
      return value;
    }
  }
}

Result<ExprPtr> ExpressionParser::Subscript(ExprPtr value) {
  ExprPtr parts[3];
  bool slice = false;
  for (int part = 0; part < 3; ++part) {
    if (!IsOp(":") && !IsOp("]")) {
      INGOT_ASSIGN(parts[part], Expression());
    }
    if (!SkipOp(":")) break;
    slice = true;
  }
  INGOT_TRY(ExpectOp("]"));
  if (slice)
    return Over(Make(ExprKind::kSlice), std::move(value), std::move(parts[0]), std::move(parts[1]),
                std::move(parts[2]));
  if (parts[0] == nullptr) return Fail("a subscript is empty");
  return Over(Make(ExprKind::kItem), std::move(value), std::move(parts[0]));
}

Status ExpressionParser::ParseArguments(Arguments& out) {
  INGOT_TRY(ExpectOp("("));
  bool first = true;
  while (!IsOp(")")) {
    if (!first) {
      INGOT_TRY(ExpectOp(","));
      if (IsOp(")")) break;
    }
    first = false;
    if (out.named_spread != nullptr) return Fail("nothing follows **arguments");
    if (SkipOp("*")) {
      INGOT_ASSIGN(out.spread, Expression());
    } else if (SkipOp("**")) {
      INGOT_ASSIGN(out.named_spread, Expression());
    } else if (Now().kind == TokenKind::kName && Ahead().Is(TokenKind::kOperator, "=")) {
      std::string name = Next().text;
      Next();
      INGOT_ASSIGN(ExprPtr value, Expression());
      out.named.emplace_back(std::move(name), std::move(value));
    } else {
      if (!out.named.empty() || out.spread != nullptr)
        return Fail("an argument by place follows one by name");
      INGOT_ASSIGN(ExprPtr value, Expression());
      out.positional.push_back(std::move(value));
    }
  }
  Next();
  return OkStatus();
}

Result<ExprPtr> ExpressionParser::Call(ExprPtr callee) {
  ExprPtr expr = Make(ExprKind::kCall);
  expr->items.push_back(std::move(callee));
  INGOT_TRY(ParseArguments(expr->arguments));
  return Measured(std::move(expr));
}

Result<std::string> ExpressionParser::DottedName() {
  INGOT_ASSIGN(std::string name, AnyName());
  while (SkipOp(".")) {
    INGOT_ASSIGN(const std::string part, AnyName());
    name += "." + part;
  }
  return name;
}

Result<ExprPtr> ExpressionParser::Filters(ExprPtr value) {
  for (;;) {
    if (SkipOp("|")) {
      INGOT_ASSIGN(value, Filter(std::move(value)));
    } else if (SkipName("is")) {
      INGOT_ASSIGN(value, Test(std::move(value)));
    } else if (IsOp("(")) {
      INGOT_ASSIGN(value, Call(std::move(value)));
    } else {
      return value;
    }
  }
}

Result<ExprPtr> ExpressionParser::Filter(ExprPtr value) {
  INGOT_ASSIGN(std::string name, DottedName());
  ExprPtr expr = Make(ExprKind::kFilter, std::move(name));
  expr->items.push_back(std::move(value));
  if (IsOp("(")) INGOT_TRY(ParseArguments(expr->arguments));
  return Measured(std::move(expr));
}

Result<ExprPtr> ExpressionParser::Test(ExprPtr value) {
  const bool negated = SkipName("not");
  INGOT_ASSIGN(std::string name, DottedName());
  ExprPtr expr = Make(ExprKind::kTest, std::move(name));
  expr->items.push_back(std::move(value));
  const TokenKind kind = Now().kind;
  const bool one_argument =
      kind == TokenKind::kText || kind == TokenKind::kInteger || kind == TokenKind::kFloat ||
      IsOp("[") || IsOp("{") ||
      (kind == TokenKind::kName && !IsName("else") && !IsName("or") && !IsName("and"));
  if (IsOp("(")) {
    INGOT_TRY(ParseArguments(expr->arguments));
  } else if (one_argument) {
    if (IsName("is")) return Fail("tests cannot be chained with 'is'");
    // Jinja takes "x is defined if y" for a test of a variable named `if`, too; but it would not
    // parse, and a condition's keywords end a test here.
    if (!IsName("if") && !IsName("in") && !IsName("not")) {
      INGOT_ASSIGN(ExprPtr argument, Primary());
      INGOT_ASSIGN(argument, Postfix(std::move(argument)));
      expr->arguments.positional.push_back(std::move(argument));
    }
  }
  INGOT_ASSIGN(ExprPtr test, Measured(std::move(expr)));
  if (!negated) return test;
  return Over(Make(ExprKind::kUnary, "not"), std::move(test));
}

}  // namespace ingot::model::chat
