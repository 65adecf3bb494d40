#include "model/chat/template_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/chat/template_expressions.h"
#include "model/chat/template_lexer.h"
#include "model/text/utf8.h"

namespace ingot::model::chat {
namespace {

// Statements, over expressions.
class Parser : private ExpressionParser {
 public:
  explicit Parser(std::vector<Token> tokens) : ExpressionParser(std::move(tokens)) {}

  Result<Body> Run() {
    Body body;
    INGOT_TRY(ParseBody({}, body));
    return body;
  }

 private:
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
