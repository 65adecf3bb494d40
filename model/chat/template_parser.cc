#include "model/chat/template_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "model/chat/template_lexer.h"
#include "model/text/utf8.h"

namespace ingot::model::chat {
namespace {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<Body> Run() {
    Body body;
    INGOT_TRY(ParseBody({}, body));
    return body;
  }

 private:
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
  Status Fail(const std::string& what) const {
    return InvalidArgument(fmt::format("line {}: {}", Now().line, what));
  }
  static std::string Describe(const Token& token) {
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
  Status Unexpected(std::string_view wanted) const {
    return Fail(fmt::format("{} was expected, not {}", wanted, Describe(Now())));
  }
  Status ExpectOp(std::string_view op) {
    return SkipOp(op) ? OkStatus() : Unexpected(fmt::format("'{}'", op));
  }
  Status ExpectName(std::string_view name) {
    return SkipName(name) ? OkStatus() : Unexpected(fmt::format("'{}'", name));
  }
  Result<std::string> AnyName() {
    if (Now().kind != TokenKind::kName) return Unexpected("a name");
    return Next().text;
  }
  Status Expect(TokenKind kind) {
    if (Now().kind != kind) return Unexpected("the end of the tag");
    Next();
    return OkStatus();
  }

  // --- expressions

  // Recursion that the text decides is bounded here.
  struct Deeper {
    explicit Deeper(std::uint32_t& depth) : depth(depth) { ++depth; }
    ~Deeper() { --depth; }
    std::uint32_t& depth;
  };
  Status CheckDepth() const {
    if (nesting_ <= kMaxNesting) return OkStatus();
    return LimitExceeded(fmt::format("line {}: nested more than {} deep", Now().line, kMaxNesting));
  }
  ExprPtr Make(ExprKind kind, std::string text = {}) const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = Now().line;
    expr->text = std::move(text);
    return expr;
  }
  // An expression over others; its depth is theirs and one.
  template <typename... Parts>
  Result<ExprPtr> Over(ExprPtr expr, Parts... parts) const {
    (expr->items.push_back(std::move(parts)), ...);
    return Measured(std::move(expr));
  }
  Result<ExprPtr> Measured(ExprPtr expr) const {
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
      return LimitExceeded(fmt::format("line {}: an expression is nested more than {} deep",
                                       expr->line, kMaxNesting));
    return expr;
  }

  Result<ExprPtr> Expression(bool conditions = true) {
    const Deeper deeper(nesting_);
    INGOT_TRY(CheckDepth());
    return conditions ? Condition() : Or();
  }
  Result<ExprPtr> Condition() {
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
  // left (op right)* of one level.
  template <typename Below>
  Result<ExprPtr> Chain(Words names, Words ops, Below below) {
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
  Result<ExprPtr> Or() { return Chain({"or"}, {}, &Parser::And); }
  Result<ExprPtr> And() { return Chain({"and"}, {}, &Parser::Not); }
  Result<ExprPtr> Not() {
    if (!IsName("not")) return Compare();
    const Deeper deeper(nesting_);
    INGOT_TRY(CheckDepth());
    Next();
    INGOT_ASSIGN(ExprPtr operand, Not());
    return Over(Make(ExprKind::kUnary, "not"), std::move(operand));
  }
  Result<ExprPtr> Compare() {
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
  Result<ExprPtr> Sum() { return Chain({}, {"+", "-"}, &Parser::Concat); }
  Result<ExprPtr> Concat() {
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
  Result<ExprPtr> Product() { return Chain({}, {"*", "/", "//", "%"}, &Parser::Power); }
  Result<ExprPtr> Power() { return Chain({}, {"**"}, &Parser::UnaryWithFilters); }
  Result<ExprPtr> UnaryWithFilters() { return Unary(true); }
  Result<ExprPtr> Unary(bool filters) {
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

  ExprPtr Const(Value value) const {
    ExprPtr expr = Make(ExprKind::kConst);
    expr->value = std::move(value);
    return expr;
  }
  Result<ExprPtr> Primary() {
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
  static std::int64_t Integer(const std::string& digits) {
    std::int64_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  }
  Result<ExprPtr> List(ExprKind kind, std::string_view close) {
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
  Result<ExprPtr> DictLiteral() {
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
  // One expression, or several with commas. `end`: a name that ends it.
  Result<ExprPtr> Tuple(std::string_view end, bool conditions, bool in_parentheses) {
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

  Result<ExprPtr> Postfix(ExprPtr value) {
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
  Result<ExprPtr> Subscript(ExprPtr value) {
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
      return Over(Make(ExprKind::kSlice), std::move(value), std::move(parts[0]),
                  std::move(parts[1]), std::move(parts[2]));
    if (parts[0] == nullptr) return Fail("a subscript is empty");
    return Over(Make(ExprKind::kItem), std::move(value), std::move(parts[0]));
  }
  Status ParseArguments(Arguments& out) {
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
  Result<ExprPtr> Call(ExprPtr callee) {
    ExprPtr expr = Make(ExprKind::kCall);
    expr->items.push_back(std::move(callee));
    INGOT_TRY(ParseArguments(expr->arguments));
    return Measured(std::move(expr));
  }
  Result<std::string> DottedName() {
    INGOT_ASSIGN(std::string name, AnyName());
    while (SkipOp(".")) {
      INGOT_ASSIGN(const std::string part, AnyName());
      name += "." + part;
    }
    return name;
  }
  Result<ExprPtr> Filters(ExprPtr value) {
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
  Result<ExprPtr> Filter(ExprPtr value) {
    INGOT_ASSIGN(std::string name, DottedName());
    ExprPtr expr = Make(ExprKind::kFilter, std::move(name));
    expr->items.push_back(std::move(value));
    if (IsOp("(")) INGOT_TRY(ParseArguments(expr->arguments));
    return Measured(std::move(expr));
  }
  Result<ExprPtr> Test(ExprPtr value) {
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

  // --- statements

  // Up to a tag whose first word is one of `ends`, which is left to be read; the template's end is
  // one where none is given.
  Status ParseBody(Words ends, Body& body) {
    const Deeper deeper(nesting_);
    INGOT_TRY(CheckDepth());
    for (;;) {
      switch (Now().kind) {
        case TokenKind::kEnd: {
          if (ends.size() == 0) return OkStatus();
          return Unexpected(fmt::format("'{}'", *(ends.end() - 1)));
        }
        case TokenKind::kData: {
          Stmt stmt = MakeStmt(StmtKind::kData);
          stmt.text = Next().text;
          body.push_back(std::move(stmt));
          break;
        }
        case TokenKind::kVariableBegin: {
          Next();
          Stmt stmt = MakeStmt(StmtKind::kOutput);
          INGOT_ASSIGN(stmt.expr, Tuple({}, true, false));
          INGOT_TRY(Expect(TokenKind::kVariableEnd));
          body.push_back(std::move(stmt));
          break;
        }
        default: {
          if (Now().kind != TokenKind::kBlockBegin) return Unexpected("a tag");
          Next();
          if (Now().kind == TokenKind::kName && std::ranges::find(ends, Now().text) != ends.end())
            return OkStatus();
          INGOT_TRY(Statement(body));
        }
      }
    }
  }
  Stmt MakeStmt(StmtKind kind) const {
    Stmt stmt;
    stmt.kind = kind;
    stmt.line = Now().line;
    return stmt;
  }
  Status Statement(Body& body) {
    Stmt stmt = MakeStmt(StmtKind::kData);
    INGOT_ASSIGN(const std::string tag, AnyName());
    Status status;
    if (tag == "if") {
      status = If(stmt);
    } else if (tag == "for") {
      status = For(stmt);
    } else if (tag == "set") {
      status = Set(stmt);
    } else if (tag == "macro") {
      status = ParseMacro(stmt);
    } else if (tag == "call") {
      status = CallBlock(stmt);
    } else if (tag == "filter") {
      status = FilterBlock(stmt);
    } else if (tag == "with") {
      status = With(stmt);
    } else if (tag == "generation") {
      stmt.kind = StmtKind::kScope;
      INGOT_TRY(Expect(TokenKind::kBlockEnd));
      status = BodyTo("endgeneration", stmt.body);
    } else if (tag == "break" || tag == "continue") {
      stmt.kind = tag == "break" ? StmtKind::kBreak : StmtKind::kContinue;
      if (loops_ == 0) return Fail(fmt::format("'{}' outside of a loop", tag));
    } else {
      return InvalidArgument(fmt::format("line {}: unknown tag '{}'", stmt.line, tag));
    }
    INGOT_TRY(std::move(status));
    body.push_back(std::move(stmt));
    return Expect(TokenKind::kBlockEnd);
  }
  // The body and the word that ends it; the tag's end is left.
  Status BodyTo(std::string_view end, Body& body) {
    INGOT_TRY(ParseBody({end}, body));
    Next();
    return OkStatus();
  }
  Status If(Stmt& stmt) {
    stmt.kind = StmtKind::kIf;
    for (;;) {
      INGOT_ASSIGN(ExprPtr test, Tuple({}, false, false));
      INGOT_TRY(Expect(TokenKind::kBlockEnd));
      Body body;
      INGOT_TRY(ParseBody({"elif", "else", "endif"}, body));
      stmt.branches.emplace_back(std::move(test), std::move(body));
      const std::string word = Next().text;
      if (word == "endif") return OkStatus();
      if (word == "else") {
        INGOT_TRY(Expect(TokenKind::kBlockEnd));
        return BodyTo("endif", stmt.other);
      }
    }
  }
  Status For(Stmt& stmt) {
    stmt.kind = StmtKind::kFor;
    INGOT_ASSIGN(stmt.target, AssignTarget(false));
    INGOT_TRY(ExpectName("in"));
    INGOT_ASSIGN(stmt.expr, Tuple("recursive", false, false));
    if (SkipName("if")) {
      INGOT_ASSIGN(stmt.test, Expression());
    }
    if (SkipName("recursive"))
      return Unsupported(fmt::format("line {}: recursive loops are not supported", stmt.line));
    INGOT_TRY(Expect(TokenKind::kBlockEnd));
    ++loops_;
    INGOT_TRY(ParseBody({"else", "endfor"}, stmt.body));
    --loops_;
    if (Next().text == "endfor") return OkStatus();
    INGOT_TRY(Expect(TokenKind::kBlockEnd));
    return BodyTo("endfor", stmt.other);
  }
  Result<Target> AssignTarget(bool attributes) {
    std::vector<Target> targets;
    bool several = false;
    for (;;) {
      const bool parentheses = SkipOp("(");
      Target target;
      if (parentheses) {
        const Deeper deeper(nesting_);
        INGOT_TRY(CheckDepth());
        INGOT_ASSIGN(target, AssignTarget(attributes));
        INGOT_TRY(ExpectOp(")"));
      } else {
        INGOT_ASSIGN(target.name, AnyName());
        static constexpr std::string_view kReserved[] = {"true", "false", "none",
                                                         "True", "False", "None"};
        if (std::ranges::find(kReserved, target.name) != std::end(kReserved))
          return Fail(fmt::format("cannot assign to '{}'", target.name));
        if (attributes && SkipOp(".")) {
          INGOT_ASSIGN(target.attribute, AnyName());
        }
      }
      targets.push_back(std::move(target));
      if (!SkipOp(",")) break;
      several = true;
      if (Now().kind != TokenKind::kName && !IsOp("(")) break;
      if (IsName("in")) break;
    }
    if (!several) return std::move(targets[0]);
    Target all;
    all.is_several = true;
    all.several = std::move(targets);
    return all;
  }
  Status Set(Stmt& stmt) {
    INGOT_ASSIGN(stmt.target, AssignTarget(true));
    if (SkipOp("=")) {
      stmt.kind = StmtKind::kSet;
      INGOT_ASSIGN(stmt.expr, Tuple({}, true, false));
      return OkStatus();
    }
    stmt.kind = StmtKind::kSetBlock;
    INGOT_TRY(FilterChain(stmt.filter));
    INGOT_TRY(Expect(TokenKind::kBlockEnd));
    return BodyTo("endset", stmt.body);
  }
  // "| name | name": filters over a body, null where there are none.
  Status FilterChain(ExprPtr& filter) {
    while (SkipOp("|")) {
      INGOT_ASSIGN(filter, Filter(std::move(filter)));
    }
    return OkStatus();
  }
  Status FilterBlock(Stmt& stmt) {
    stmt.kind = StmtKind::kFilter;
    INGOT_ASSIGN(stmt.filter, Filter(nullptr));
    INGOT_TRY(FilterChain(stmt.filter));
    INGOT_TRY(Expect(TokenKind::kBlockEnd));
    return BodyTo("endfilter", stmt.body);
  }
  Status With(Stmt& stmt) {
    stmt.kind = StmtKind::kWith;
    while (Now().kind != TokenKind::kBlockEnd) {
      if (!stmt.assignments.empty()) INGOT_TRY(ExpectOp(","));
      Target target;
      INGOT_ASSIGN(target.name, AnyName());
      INGOT_TRY(ExpectOp("="));
      INGOT_ASSIGN(ExprPtr value, Expression());
      stmt.assignments.emplace_back(std::move(target), std::move(value));
    }
    Next();
    return BodyTo("endwith", stmt.body);
  }
  Status Parameters(MacroNode& macro) {
    INGOT_TRY(ExpectOp("("));
    while (!IsOp(")")) {
      if (!macro.parameters.empty()) INGOT_TRY(ExpectOp(","));
      INGOT_ASSIGN(std::string name, AnyName());
      ExprPtr otherwise;
      if (SkipOp("=")) {
        INGOT_ASSIGN(otherwise, Expression());
      } else if (!macro.parameters.empty() && macro.parameters.back().second != nullptr) {
        return Fail("a parameter without a default follows one with");
      }
      macro.parameters.emplace_back(std::move(name), std::move(otherwise));
    }
    Next();
    return OkStatus();
  }
  // Its body; loops around it are none of its own. What a macro may be called with depends on the
  // names that stand in it.
  Status MacroBody(std::string_view end, MacroNode& macro) {
    INGOT_TRY(Expect(TokenKind::kBlockEnd));
    const std::uint32_t loops = std::exchange(loops_, 0);
    const std::size_t begin = at_;
    INGOT_TRY(BodyTo(end, macro.body));
    loops_ = loops;
    for (std::size_t i = begin; i < at_; ++i) {
      macro.uses_varargs |= tokens_[i].Is(TokenKind::kName, "varargs");
      macro.uses_kwargs |= tokens_[i].Is(TokenKind::kName, "kwargs");
      macro.uses_caller |= tokens_[i].Is(TokenKind::kName, "caller");
    }
    return OkStatus();
  }
  Status ParseMacro(Stmt& stmt) {
    stmt.kind = StmtKind::kMacro;
    stmt.macro = std::make_unique<MacroNode>();
    INGOT_ASSIGN(stmt.macro->name, AnyName());
    INGOT_TRY(Parameters(*stmt.macro));
    return MacroBody("endmacro", *stmt.macro);
  }
  Status CallBlock(Stmt& stmt) {
    stmt.kind = StmtKind::kCall;
    stmt.macro = std::make_unique<MacroNode>();
    stmt.macro->name = "caller";
    if (IsOp("(")) INGOT_TRY(Parameters(*stmt.macro));
    INGOT_ASSIGN(stmt.expr, Expression());
    if (stmt.expr->kind != ExprKind::kCall) return Fail("a call was expected");
    return MacroBody("endcall", *stmt.macro);
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::uint32_t nesting_ = 0;
  std::uint32_t loops_ = 0;
};

}  // namespace

Result<Body> ParseTemplate(std::string_view source) {
  if (source.size() > kMaxTemplateBytes)
    return LimitExceeded(
        fmt::format("the template is {} bytes long, at most {}", source.size(), kMaxTemplateBytes));
  std::string repaired;
  INGOT_ASSIGN(std::vector<Token> tokens, LexTemplate(RepairUtf8(source, repaired)));
  return Parser(std::move(tokens)).Run();
}

}  // namespace ingot::model::chat
