#pragma once
// Random masks that look like masks: comparisons of affine, divided, masked and clamped positions,
// with tensors and run-time parameters, joined by Boolean operators. Narrower than
// tests/ir/random_function.h, so that most of them have tiles of all three classes.
#include "tests/analysis/mask_expr.h"
#include "tests/ir/random_function.h"

namespace maskjit::random {

class MaskBuilder {
 public:
  explicit MaskBuilder(Generator& generator) : generator_(generator) {}

  mask_expr::Expr run(mask_expr::Names names) {
    names_ = &names;
    return boolean(3);
  }

 private:
  using Expr = mask_expr::Expr;

  int64_t small() { return below(generator_, 9) - 2; }
  int64_t divisor() { return chance(generator_, 8) ? -2 : 1 + below(generator_, 8); }

  Expr position() { return chance(generator_, 50) ? names_->q : names_->k; }

  Expr leaf() {
    const auto& n = *names_;
    switch (below(generator_, 12)) {
      case 0:
        return n.integer(below(generator_, 24) - 4);
      case 1:
        return n.runtime("n");
      case 2:
        return chance(generator_, 50) ? n.kv_len : n.q_offset;
      case 3:
        return n.load("doc", ir::Element::I32, {{ir::Dim::Kind::KvLen, 0}}, {position()});
      case 4:
        return n.load("len", ir::Element::I16,
                      {{ir::Dim::Kind::Batch, 0}, {ir::Dim::Kind::QLen, 0}},
                      {chance(generator_, 70) ? n.batch : position(), position()});
      case 5:
        return n.head;
      default:
        return position();
    }
  }

  Expr integer(int depth) {
    using namespace mask_expr;
    if (depth == 0) return leaf();
    const Expr a = integer(depth - 1);
    switch (below(generator_, 16)) {
      case 0:
      case 1:
        return a + integer(depth - 1);
      case 2:
      case 3:
        return a - integer(depth - 1);
      case 4:
        return a * small();
      case 5:
        return chance(generator_, 20) ? a * integer(depth - 1) : a * a;
      case 6:
      case 7:
        return a / divisor();
      case 8:
        return a % divisor();
      case 9:
        return chance(generator_, 30) ? a / integer(depth - 1) : a % integer(depth - 1);
      case 10:
        return min(a, integer(depth - 1));
      case 11:
        return max(a, integer(depth - 1));
      case 12:
        return abs(a);
      case 13:
        return select(boolean(depth - 1), a, integer(depth - 1));
      case 14:
        switch (below(generator_, 7)) {
          case 0:
            return a & ((int64_t{1} << below(generator_, 5)) - 1);
          case 1:
            return a & -(int64_t{1} << below(generator_, 5));
          case 2:
            return a >> below(generator_, 4);
          case 3:
            return a << below(generator_, 4);
          case 4:
            return a ^ integer(depth - 1);
          case 5:
            return a | integer(depth - 1);
          default:
            return a & integer(depth - 1);
        }
      default:
        return a - a % divisor();
    }
  }

  Expr real(int depth) {
    using namespace mask_expr;
    const auto& n = *names_;
    if (depth == 0) {
      switch (below(generator_, 5)) {
        case 0:
          return n.real(random_float(generator_));
        case 1:
          return n.runtime("x", ir::Type::Float);
        case 2:
          return n.load("pos", ir::Element::F32, {{ir::Dim::Kind::KvLen, 0}}, {position()});
        default:
          return to_float(integer(1));
      }
    }
    const Expr a = real(depth - 1);
    switch (below(generator_, 12)) {
      case 0:
      case 1:
        return binary(ir::Op::Add, a, real(depth - 1));
      case 2:
      case 3:
        return binary(ir::Op::Sub, a, real(depth - 1));
      case 4:
        return binary(ir::Op::Mul, a, real(depth - 1));
      case 5:
        return binary(ir::Op::Div, a, real(depth - 1));
      case 6:
        return binary(chance(generator_, 50) ? ir::Op::Min : ir::Op::Max, a, real(depth - 1));
      case 7:
        return unary(chance(generator_, 50) ? ir::Op::Abs : ir::Op::Neg, a);
      case 8:
        return unary(chance(generator_, 50) ? ir::Op::Exp : ir::Op::Log, a);
      case 9:
        return unary(chance(generator_, 50) ? ir::Op::Tanh : ir::Op::Sqrt, a);
      case 10:
        return select(boolean(depth - 1), a, real(depth - 1));
      default:
        return to_float(floor(a));
    }
  }

  Expr compare(Expr a, Expr b) {
    static const ir::Op ops[] = {ir::Op::Eq, ir::Op::Ne, ir::Op::Lt, ir::Op::Le, ir::Op::Le};
    return mask_expr::binary(ops[below(generator_, 5)], a, b);
  }

  Expr boolean(int depth) {
    using namespace mask_expr;
    if (depth <= 0 || chance(generator_, 25)) {
      switch (below(generator_, 11)) {
        case 10:
          return names_->load("bits", ir::Element::Bit,
                              {{ir::Dim::Kind::QLen, 0}, {ir::Dim::Kind::KvLen, 0}},
                              {integer(1), position()});
        case 0:
          return names_->load("flag", ir::Element::Bool, {{ir::Dim::Kind::KvLen, 0}}, {position()});
        case 1:
          return compare(real(2), real(1));
        case 2:
          return compare(floor(real(2)), integer(1));
        case 3:
          return compare(abs(integer(1) - integer(1)), integer(1));
        default:
          return compare(integer(2), integer(2));
      }
    }
    const Expr a = boolean(depth - 1);
    switch (below(generator_, 8)) {
      case 0:
      case 1:
      case 2:
        return a & boolean(depth - 1);
      case 3:
      case 4:
        return a | boolean(depth - 1);
      case 5:
        return !a;
      case 6:
        return chance(generator_, 50) ? a ^ boolean(depth - 1) : a == boolean(depth - 1);
      default:
        return select(a, boolean(depth - 1), boolean(depth - 1));
    }
  }

  Generator& generator_;
  const mask_expr::Names* names_ = nullptr;
};

inline ir::Function mask(Generator& generator) {
  return mask_expr::mask_of(
      [&](mask_expr::Names names) { return MaskBuilder(generator).run(names); });
}

}  // namespace maskjit::random
