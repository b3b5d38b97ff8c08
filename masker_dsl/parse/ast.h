#pragma once
// The syntax tree: declarations of one file with the ranges of everything that a message may point
// at. Names stay text; what they mean is decided by check. Expressions live as long as their Ast.
//
// Operator chains lean left and may be thousands of operators long: whoever walks them does it with
// left_spine(), not by recursion. Every other nesting is at most kMaxNesting deep.
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "masker_dsl/source/source.h"

namespace maskjit::parse {

inline constexpr int kMaxNesting = 200;

enum class UnaryOp : uint8_t { Negate, Not, Complement };
enum class BinaryOp : uint8_t {
  Then,
  Or,
  Xor,
  And,
  Eq,
  Ne,
  Lt,
  Le,
  Gt,
  Ge,
  ShiftLeft,
  ShiftRight,
  Add,
  Sub,
  Mul,
  Div,
  FloorDiv,
  Mod,
};
std::string_view spelling(UnaryOp op);
std::string_view spelling(BinaryOp op);
bool is_comparison(BinaryOp op);

struct Expr;

struct Argument {
  source::SourceRange name;  // empty for a positional argument
  const Expr* value = nullptr;
  bool named() const { return name.end > name.begin; }
};

struct Expr {
  enum class Kind : uint8_t {
    Error,  // already reported
    Integer,
    Float,
    Percent,      // real is the share: 0.1 for 10%
    Bool,         // integer is 0 or 1
    Name,         // head
    Paren,        // (operands[0])
    Unary,        // head is the operator
    Binary,       // head is the operator
    Conditional,  // operands[0] ? operands[1] : operands[2]; head is the ?
    Call,         // head(arguments)
    Subscript,    // head[operands]
  };
  Kind kind = Kind::Error;
  UnaryOp unary = UnaryOp::Negate;
  BinaryOp binary = BinaryOp::Then;
  source::SourceRange range;
  source::SourceRange head;
  int64_t integer = 0;
  double real = 0;
  std::vector<const Expr*> operands;
  std::vector<Argument> arguments;

  std::string_view name() const { return head.text(); }
};

// The expression inside any parentheses.
const Expr& strip_parens(const Expr& expr);

// For a Binary: itself, its left operand, that one's left operand, ... as long as they are Binary.
std::vector<const Expr*> left_spine(const Expr& expr);

struct Dimension {
  source::SourceRange range;
  bool is_constant = false;
  int64_t constant = 0;
};

struct TypeName {
  source::SourceRange range;
  source::SourceRange name;  // int, float, bool, tensor
  bool is_tensor = false;
  source::SourceRange element;
  std::vector<Dimension> dims;
};

struct Param {
  source::SourceRange range;
  source::SourceRange name;
  source::SourceRange runtime;  // the keyword, or empty
  TypeName type;
  const Expr* default_value = nullptr;
  bool is_runtime() const { return runtime.end > runtime.begin; }
};

struct Let {
  source::SourceRange name;
  const Expr* value = nullptr;
};

struct Clause {
  enum class Kind : uint8_t { Mask, Score, Dropout } kind = Kind::Mask;
  source::SourceRange keyword;
  const Expr* value = nullptr;
  bool renormalise = false;
};

struct Declaration {
  enum class Kind : uint8_t { Masker, Score, Attention, Import } kind = Kind::Masker;
  source::SourceRange range;
  source::SourceRange keyword;
  source::SourceRange name;        // Import: the string with its quotes
  std::string_view documentation;  // the comment line right above, without # and blanks
  source::SourceRange logit;       // Score: its first parameter
  std::vector<Param> params;
  bool is_block = false;  // Masker, Score: { let ... return ... } instead of = ...
  std::vector<Let> lets;
  const Expr* result = nullptr;  // Masker, Score
  std::vector<Clause> clauses;   // Attention
  bool has_errors = false;       // parts are missing: do not look inside

  std::string_view import_path() const {
    const std::string_view text = name.text();
    return text.size() < 2 ? std::string_view() : text.substr(1, text.size() - 2);
  }
};

struct Ast {
  std::deque<Expr> exprs;
  std::vector<Declaration> declarations;
  bool incomplete = false;  // some declaration has no name: unknown names may be its fault
};

}  // namespace maskjit::parse
