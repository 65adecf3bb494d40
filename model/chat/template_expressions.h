// Expressions of chat templates: what stands in {{ }} and behind the words of tags.
//
// Thread rule: a parser belongs to one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/chat/template_lexer.h"
#include "model/chat/template_syntax.h"

namespace ingot::model::chat {

// Tokens and where one is in them; how deep what is being read lies.
class TokenCursor {
 protected:
  explicit TokenCursor(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  using Words = std::initializer_list<std::string_view>;

  const Token& Now() const { return tokens_[at_]; }
  const Token& Ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token Next() {
    Token token = Now();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool IsName(std::string_view name) const { return Now().Is(TokenKind::kName, name); }
  bool IsOp(std::string_view op) const { return Now().Is(TokenKind::kOperator, op); }
  bool SkipName(std::string_view name) {
    const bool is = IsName(name);
    if (is) Next();
    return is;
  }
  bool SkipOp(std::string_view op) {
    const bool is = IsOp(op);
    if (is) Next();
    return is;
  }
  Status Fail(const std::string& what) const;
  static std::string Describe(const Token& token);
  Status Unexpected(std::string_view wanted) const;
  Status ExpectOp(std::string_view op);
  Status ExpectName(std::string_view name);
  Result<std::string> AnyName();
  Status Expect(TokenKind kind);

  // Recursion that the text decides is bounded here.
  struct Deeper {
    explicit Deeper(std::uint32_t& depth) : depth(depth) { ++depth; }
    ~Deeper() { --depth; }
    std::uint32_t& depth;
  };
  Status CheckDepth() const;

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::uint32_t nesting_ = 0;
};

class ExpressionParser : protected TokenCursor {
 protected:
  using TokenCursor::TokenCursor;

  ExprPtr Make(ExprKind kind, std::string text = {}) const;
  template <typename... Parts>
  Result<ExprPtr> Over(ExprPtr expr, Parts... parts) const {
    (expr->items.push_back(std::move(parts)), ...);
    return Measured(std::move(expr));
  }
  Result<ExprPtr> Expression(bool conditions = true);
  // One expression, or several with commas. `end`: a name that ends it.
  Result<ExprPtr> Tuple(std::string_view end, bool conditions, bool in_parentheses);
  Result<ExprPtr> Filter(ExprPtr value);

 private:
  Result<ExprPtr> Measured(ExprPtr expr) const;
  Result<ExprPtr> Condition();
  // left (op right)* of one level.
  template <typename Below>
  Result<ExprPtr> Chain(Words names, Words ops, Below below);
  Result<ExprPtr> Or();
  Result<ExprPtr> And();
  Result<ExprPtr> Not();
  Result<ExprPtr> Compare();
  Result<ExprPtr> Sum();
  Result<ExprPtr> Concat();
  Result<ExprPtr> Product();
  Result<ExprPtr> Power();
  Result<ExprPtr> UnaryWithFilters();
  Result<ExprPtr> Unary(bool filters);
  ExprPtr Const(Value value) const;
  Result<ExprPtr> Primary();
  static std::int64_t Integer(const std::string& digits);
  Result<ExprPtr> List(ExprKind kind, std::string_view close);
  Result<ExprPtr> DictLiteral();
  Result<ExprPtr> Postfix(ExprPtr value);
  Result<ExprPtr> Subscript(ExprPtr value);
  Status ParseArguments(Arguments& out);
  Result<ExprPtr> Call(ExprPtr callee);
  Result<std::string> DottedName();
  Result<ExprPtr> Filters(ExprPtr value);
  Result<ExprPtr> Test(ExprPtr value);
};

}  // namespace ingot::model::chat
