#include "masker_dsl/analysis/infix.h"

#include <fmt/format.h>

#include <cmath>

namespace maskjit::analysis {
namespace {

using ir::Op;
using ir::Type;
using ir::Value;

// How tightly the grammar binds, loosest first.
enum Precedence { kSelect, kOr, kXor, kAnd, kCompare, kShift, kSum, kProduct, kUnary, kPrimary };

struct Symbol {
  const char* text;
  Precedence precedence;
};

Symbol symbol_of(Op op) {
  switch (op) {
    case Op::Or:
      return {"|", kOr};
    case Op::Xor:
      return {"^", kXor};
    case Op::And:
      return {"&", kAnd};
    case Op::Eq:
      return {"==", kCompare};
    case Op::Ne:
      return {"!=", kCompare};
    case Op::Lt:
      return {"<", kCompare};
    case Op::Le:
      return {"<=", kCompare};
    case Op::Shl:
      return {"<<", kShift};
    case Op::Shr:
      return {">>", kShift};
    case Op::Add:
      return {"+", kSum};
    case Op::Sub:
      return {"-", kSum};
    case Op::Mul:
      return {"*", kProduct};
    case Op::Div:
      return {"/", kProduct};
    case Op::FloorDiv:
      return {"//", kProduct};
    case Op::FloorMod:
      return {"%", kProduct};
    default:
      return {"", kPrimary};
  }
}

class Printer {
 public:
  Printer(const ir::Function& function, int ops_left) : function_(function), ops_left_(ops_left) {}

  // The text of a value where operators that bind less tightly than `context` need parentheses.
  std::string print(Value value, Precedence context) {
    const ir::Node& n = function_[value];
    if (n.op != Op::Const && n.op != Op::Variable && n.op != Op::Parameter && ops_left_-- <= 0) {
      return "...";
    }
    switch (n.op) {
      case Op::Const:
        return constant(n.constant, context);
      case Op::Variable:
        return std::string(ir::name_of(n.var()));
      case Op::Parameter:
        return function_.params()[n.index].name;
      case Op::Share:
        return fmt::format("floor({} * {})", n.constant.real, print(n.operands[0], kProduct));
      case Op::Neg:
        return parenthesised("-" + print(n.operands[0], kUnary), kUnary, context);
      case Op::Not:
        if (n.type == Type::Int) return call("bitwise_not", n);
        return parenthesised("!" + print(n.operands[0], kUnary), kUnary, context);
      case Op::Min:
      case Op::Max:
      case Op::Abs:
      case Op::Exp:
      case Op::Log:
      case Op::Tanh:
      case Op::Sqrt:
      case Op::Floor:
        return call(std::string(ir::info(n.op).name), n);
      case Op::ToFloat:
        return call("float", n);
      case Op::Select: {
        const std::string condition = print(n.operands[0], kOr);
        const std::string first = print(n.operands[1], kOr);
        return parenthesised(condition + " ? " + first + " : " + print(n.operands[2], kSelect),
                             kSelect, context);
      }
      case Op::TensorLoad:
      case Op::TensorMin:
      case Op::TensorMax:
      case Op::TensorWeight:
      case Op::TensorAny:
      case Op::TensorAll:
        return subscripted(n);
      default:
        return infix(n, context);
    }
  }

 private:
  std::string parenthesised(std::string text, Precedence own, Precedence context) {
    return own < context ? "(" + text + ")" : text;
  }

  std::string constant(const ir::Scalar& scalar, Precedence context) {
    if (scalar.type == Type::Bool) return scalar.integer != 0 ? "true" : "false";
    if (scalar.type == Type::Float) return fmt::format("{}", scalar.real);
    const Precedence own = scalar.integer < 0 ? kUnary : kPrimary;
    return parenthesised(std::to_string(scalar.integer), own, context);
  }

  std::string call(const std::string& name, const ir::Node& n) {
    std::string text = name + "(";
    for (size_t i = 0; i < n.operands.size(); ++i) {
      text += (i > 0 ? ", " : "") + print(n.operands[i], kSelect);
    }
    return text + ")";
  }

  std::string subscripted(const ir::Node& n) {
    std::string text = function_.tensors()[n.index].name + "[";
    // The last operands are the ends of as many ranges as the op takes.
    const size_t rank = function_.tensors()[n.index].dims.size();
    const size_t ranges = n.operands.size() - rank;
    for (size_t i = 0; i < n.operands.size(); ++i) {
      const size_t left = n.operands.size() - i;
      const bool is_end = left < 2 * ranges && left % 2 == 1;
      text += is_end ? ".." : i > 0 ? ", " : "";
      text += print(n.operands[i], kSelect);
    }
    text += "]";
    if (n.op == Op::TensorMin) return "min(" + text + ")";
    if (n.op == Op::TensorMax) return "max(" + text + ")";
    if (n.op == Op::TensorWeight) return "weight(" + text + ")";
    if (n.op == Op::TensorAny) return "any(" + text + ")";
    if (n.op == Op::TensorAll) return "all(" + text + ")";
    return text;
  }

  std::string infix(const ir::Node& n, Precedence context) {
    const Symbol symbol = symbol_of(n.op);
    Value a = n.operands[0], b = n.operands[1];
    // Constants stand last: q_lo - 1023 rather than -1023 + q_lo.
    if (ir::info(n.op).commutative && function_[a].op == Op::Const) std::swap(a, b);
    const ir::Node& right = function_[b];
    if (n.op == Op::Add && right.op == Op::Const && right.type == Type::Int &&
        right.constant.integer < 0 && right.constant.integer != INT64_MIN) {
      return parenthesised(print(a, kSum) + fmt::format(" - {}", -right.constant.integer), kSum,
                           context);
    }
    // The right operand of an operator of its own precedence is bracketed unless it is associative.
    const bool associative = ir::info(n.op).commutative && symbol.precedence != kCompare;
    const Precedence left_context = symbol.precedence == kCompare ? kShift : symbol.precedence;
    const Precedence right_context =
        associative ? symbol.precedence : static_cast<Precedence>(symbol.precedence + 1);
    const std::string left = print(a, left_context);
    return parenthesised(left + " " + symbol.text + " " + print(b, right_context),
                         symbol.precedence, context);
  }

  const ir::Function& function_;
  int ops_left_;
};

}  // namespace

std::string to_infix(const ir::Function& function, Value value, int max_ops) {
  return Printer(function, max_ops).print(value, kSelect);
}

}  // namespace maskjit::analysis
