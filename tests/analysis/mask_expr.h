#pragma once
// Masks written as C++ expressions: `(k <= q) & (q - k < 64)` builds MaskIR.
#include <string>
#include <vector>

#include "masker_dsl/ir/function.h"

namespace maskjit::mask_expr {

struct Builder {
  ir::Function function;
};

struct Expr {
  Builder* builder;
  ir::Value value;
};

inline Expr binary(ir::Op op, Expr a, Expr b) {
  return {a.builder, a.builder->function.binary(op, a.value, b.value)};
}
inline Expr unary(ir::Op op, Expr a) { return {a.builder, a.builder->function.unary(op, a.value)}; }
inline Expr lift(Expr like, int64_t c) {
  return {like.builder, like.builder->function.constant_int(c)};
}

#define MASKJIT_EXPR_OPERATOR(symbol, op)                                                      \
  inline Expr operator symbol(Expr a, Expr b) { return binary(ir::Op::op, a, b); }             \
  inline Expr operator symbol(Expr a, int64_t b) { return binary(ir::Op::op, a, lift(a, b)); } \
  inline Expr operator symbol(int64_t a, Expr b) { return binary(ir::Op::op, lift(b, a), b); }
MASKJIT_EXPR_OPERATOR(+, Add)
MASKJIT_EXPR_OPERATOR(-, Sub)
MASKJIT_EXPR_OPERATOR(*, Mul)
MASKJIT_EXPR_OPERATOR(/, FloorDiv)
MASKJIT_EXPR_OPERATOR(%, FloorMod)
MASKJIT_EXPR_OPERATOR(&, And)
MASKJIT_EXPR_OPERATOR(|, Or)
MASKJIT_EXPR_OPERATOR(^, Xor)
MASKJIT_EXPR_OPERATOR(<<, Shl)
MASKJIT_EXPR_OPERATOR(>>, Shr)
MASKJIT_EXPR_OPERATOR(==, Eq)
MASKJIT_EXPR_OPERATOR(!=, Ne)
MASKJIT_EXPR_OPERATOR(<, Lt)
MASKJIT_EXPR_OPERATOR(<=, Le)
#undef MASKJIT_EXPR_OPERATOR
inline Expr operator>(Expr a, Expr b) { return b < a; }
inline Expr operator>(Expr a, int64_t b) { return b < a; }
inline Expr operator>=(Expr a, Expr b) { return b <= a; }
inline Expr operator>=(Expr a, int64_t b) { return b <= a; }
inline Expr operator!(Expr a) { return unary(ir::Op::Not, a); }
inline Expr operator-(Expr a) { return unary(ir::Op::Neg, a); }
inline Expr abs(Expr a) { return unary(ir::Op::Abs, a); }
inline Expr min(Expr a, Expr b) { return binary(ir::Op::Min, a, b); }
inline Expr max(Expr a, Expr b) { return binary(ir::Op::Max, a, b); }
inline Expr min(Expr a, int64_t b) { return min(a, lift(a, b)); }
inline Expr max(Expr a, int64_t b) { return max(a, lift(a, b)); }
inline Expr clamp(Expr a, int64_t lo, int64_t hi) { return min(max(a, lo), hi); }
inline Expr to_float(Expr a) { return unary(ir::Op::ToFloat, a); }
inline Expr floor(Expr a) { return unary(ir::Op::Floor, a); }
inline Expr select(Expr c, Expr a, Expr b) {
  return {c.builder, c.builder->function.select(c.value, a.value, b.value)};
}

// The names of the language, bound to one function.
struct Names {
  explicit Names(Builder& b) : builder(&b) {}
  Builder* builder;
  Expr var(ir::Var v) const { return {builder, builder->function.variable(v)}; }
  Expr q = var(ir::Var::Query), k = var(ir::Var::Key), batch = var(ir::Var::Batch),
       head = var(ir::Var::Head), kv_len = var(ir::Var::KvLen), q_len = var(ir::Var::QLen),
       q_offset = var(ir::Var::QOffset);

  Expr integer(int64_t c) const { return {builder, builder->function.constant_int(c)}; }
  Expr real(double c) const { return {builder, builder->function.constant_float(c)}; }
  Expr runtime(const std::string& name, ir::Type type = ir::Type::Int) const {
    ir::Param param;
    param.name = name;
    param.type = type;
    param.time = ir::BindingTime::Runtime;
    return {builder, builder->function.parameter(builder->function.add_param(param))};
  }
  Expr load(const std::string& name, ir::Element element, std::vector<ir::Dim> dims,
            std::vector<Expr> subscripts) const {
    const uint32_t index = builder->function.add_tensor({name, element, std::move(dims)});
    std::vector<ir::Value> values;
    for (Expr e : subscripts) values.push_back(e.value);
    return {builder, builder->function.tensor_op(ir::Op::TensorLoad, index, values)};
  }
};

// mask_of([](Names n) { return n.k <= n.q; })
template <typename Make>
ir::Function mask_of(Make make) {
  Builder builder;
  const Expr mask = make(Names(builder));
  builder.function.add_result("mask", mask.value);
  return std::move(builder.function);
}

}  // namespace maskjit::mask_expr
