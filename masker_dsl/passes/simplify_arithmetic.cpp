// Rules for numbers. Int rules hold modulo 2^64 and so need no proof that nothing wraps.
#include <cmath>
#include <limits>

#include "masker_dsl/ir/evaluate.h"
#include "masker_dsl/passes/simplifier.h"

namespace maskjit::passes {

using ir::Op;
using ir::Value;

namespace {

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kGreatest = std::numeric_limits<int64_t>::max();

bool is_zero(double value, bool negative) { return value == 0 && std::signbit(value) == negative; }

// Whether 1 / value is exact in f32 and f64.
bool has_exact_reciprocal(double value) {
  int exponent = 0;
  const double mantissa = std::frexp(value, &exponent);
  return std::fabs(mantissa) == 0.5 && exponent > -120 && exponent < 120;
}

}  // namespace

Value Simplifier::add(Value a, Value b) {
  order(a, b);
  Value x, y;
  int64_t c = 0;
  if (const auto constant = integer(b)) {
    if (*constant == 0) return a;
    if (match_constant(a, Op::Add, x, c)) {
      return build(Op::Add, x, function_.constant_int(ir::wrapping_add(c, *constant)));
    }
    if (match_constant(a, Op::Sub, x, c)) {
      return build(Op::Sub, function_.constant_int(ir::wrapping_add(c, *constant)), x);
    }
    return {};
  }
  if (match(b, Op::Neg, y)) return build(Op::Sub, a, y);
  if (match(a, Op::Neg, x)) return build(Op::Sub, b, x);
  if (match(a, Op::Sub, x, y) && y == b) return x;
  if (match(b, Op::Sub, x, y) && y == a) return x;
  for (auto [p, q] : {std::pair(a, b), std::pair(b, a)}) {
    if (match_constant(p, Op::Add, x, c)) {
      return build(Op::Add, build(Op::Add, x, q), function_.constant_int(c));
    }
    if (match_constant(p, Op::Sub, x, c)) {
      return build(Op::Add, build(Op::Sub, q, x), function_.constant_int(c));
    }
  }
  return {};
}

Value Simplifier::add_float(Value a, Value b) {
  order(a, b);
  Value x;
  if (const auto constant = real(b)) return is_zero(*constant, true) ? a : Value{};
  if (match(b, Op::Neg, x)) return build(Op::Sub, a, x);
  if (match(a, Op::Neg, x)) return build(Op::Sub, b, x);
  return {};
}

Value Simplifier::sub(Value a, Value b) {
  if (a == b) return function_.constant_int(0);
  if (const auto c = integer(b)) {
    return build(Op::Add, a, function_.constant_int(ir::wrapping_sub(0, *c)));
  }
  Value x, y;
  int64_t c = 0;
  if (match(b, Op::Neg, y)) return build(Op::Add, a, y);
  if (const auto constant = integer(a)) {
    if (*constant == 0) return build(Op::Neg, b);
    if (match_constant(b, Op::Add, y, c)) {
      return build(Op::Sub, function_.constant_int(ir::wrapping_sub(*constant, c)), y);
    }
    if (match_constant(b, Op::Sub, y, c)) {
      return build(Op::Add, y, function_.constant_int(ir::wrapping_sub(*constant, c)));
    }
    return {};
  }
  if (match(a, Op::Add, x, y) && (x == b || y == b)) return x == b ? y : x;
  if (match(b, Op::Add, x, y) && (x == a || y == a)) return build(Op::Neg, x == a ? y : x);
  if (match(a, Op::Sub, x, y) && x == b) return build(Op::Neg, y);
  if (match(b, Op::Sub, x, y) && x == a) return y;
  if (match_constant(a, Op::Add, x, c)) {
    return build(Op::Add, build(Op::Sub, x, b), function_.constant_int(c));
  }
  if (match_constant(a, Op::Sub, x, c)) {
    return build(Op::Sub, function_.constant_int(c), build(Op::Add, x, b));
  }
  if (match_constant(b, Op::Add, y, c)) {
    return build(Op::Add, build(Op::Sub, a, y), function_.constant_int(ir::wrapping_sub(0, c)));
  }
  if (match_constant(b, Op::Sub, y, c)) {
    return build(Op::Add, build(Op::Add, a, y), function_.constant_int(ir::wrapping_sub(0, c)));
  }
  if (match(a, Op::Neg, x)) return build(Op::Neg, build(Op::Add, x, b));
  return {};
}

Value Simplifier::sub_float(Value a, Value b) {
  Value x;
  if (const auto constant = real(b); constant && is_zero(*constant, false)) return a;
  if (const auto constant = real(a); constant && is_zero(*constant, true)) return build(Op::Neg, b);
  if (match(b, Op::Neg, x)) return build(Op::Add, a, x);
  return {};
}

Value Simplifier::mul(Value a, Value b) {
  order(a, b);
  Value x, y;
  int64_t c = 0;
  if (const auto constant = integer(b)) {
    if (*constant == 0) return b;
    if (*constant == 1) return a;
    if (*constant == -1) return build(Op::Neg, a);
    if (match_constant(a, Op::Mul, x, c)) {
      return build(Op::Mul, x, function_.constant_int(ir::wrapping_mul(c, *constant)));
    }
    if (match(a, Op::Neg, x)) {
      return build(Op::Mul, x, function_.constant_int(ir::wrapping_sub(0, *constant)));
    }
    return {};
  }
  if (match(a, Op::Neg, x) && match(b, Op::Neg, y)) return build(Op::Mul, x, y);
  return {};
}

Value Simplifier::mul_float(Value a, Value b) {
  order(a, b);
  Value x, y;
  if (const auto constant = real(b)) {
    if (*constant == 1) return a;
    if (*constant == -1) return build(Op::Neg, a);
    if (match(a, Op::Neg, x)) return build(Op::Mul, x, function_.constant_float(-*constant));
    return {};
  }
  if (match(a, Op::Neg, x) && match(b, Op::Neg, y)) return build(Op::Mul, x, y);
  return {};
}

Value Simplifier::min_max(Op op, Value a, Value b) {
  if (a == b) return a;
  order(a, b);
  const Op other = op == Op::Min ? Op::Max : Op::Min;
  Value x, y;
  for (auto [p, q] : {std::pair(a, b), std::pair(b, a)}) {
    if (match(p, op, x, y) && (x == q || y == q)) return p;
    // Not for Floats: max(NaN, y) is y.
    if (!is_float(a) && match(p, other, x, y) && (x == q || y == q)) return q;
  }
  if (!is_const(b)) return {};
  if (match(a, op, x, y)) {
    order(x, y);
    if (is_const(y)) return build(op, x, build(op, y, b));
  }
  const auto constant = integer(b);
  if (!constant) return {};
  if (*constant == (op == Op::Min ? kGreatest : kLeast)) return a;
  if (*constant == (op == Op::Min ? kLeast : kGreatest)) return b;
  int64_t c = 0;
  if (match_constant(a, other, x, c) && (op == Op::Min ? *constant <= c : *constant >= c)) return b;
  return {};
}

Value Simplifier::neg(Value a) {
  Value x, y;
  if (match(a, Op::Neg, x)) return x;
  if (is_float(a)) {
    if (!match(a, Op::Mul, x, y)) return {};
    order(x, y);
    const auto factor = real(y);
    return factor ? build(Op::Mul, x, function_.constant_float(-*factor)) : Value{};
  }
  int64_t c = 0;
  if (match(a, Op::Sub, x, y)) return build(Op::Sub, y, x);
  if (match_constant(a, Op::Add, x, c)) {
    return build(Op::Sub, function_.constant_int(ir::wrapping_sub(0, c)), x);
  }
  if (match_constant(a, Op::Mul, x, c)) {
    return build(Op::Mul, x, function_.constant_int(ir::wrapping_sub(0, c)));
  }
  return {};
}

Value Simplifier::abs(Value a) {
  Value x;
  if (match(a, Op::Neg, x)) return build(Op::Abs, x);
  if (match(a, Op::Abs, x)) return a;
  return {};
}

Value Simplifier::floor_div(Value a, Value b) {
  if (integer(a) == 0) return a;
  const auto divisor = integer(b);
  if (!divisor) return {};
  if (*divisor == 0) return b;
  if (*divisor == 1) return a;
  if (*divisor == -1) return build(Op::Neg, a);
  Value x, y;
  int64_t product = 0;
  if (match(a, Op::FloorDiv, x, y) && *divisor > 0) {
    const auto inner = integer(y);
    if (inner && *inner > 0 && !__builtin_mul_overflow(*inner, *divisor, &product)) {
      return build(Op::FloorDiv, x, function_.constant_int(product));
    }
  }
  return {};
}

Value Simplifier::floor_mod(Value a, Value b) {
  if (a == b) return function_.constant_int(0);
  if (integer(a) == 0) return a;
  const auto divisor = integer(b);
  if (!divisor) return {};
  if (*divisor >= -1 && *divisor <= 1) return function_.constant_int(0);
  Value x, y;
  if (match(a, Op::FloorMod, x, y) && *divisor > 0) {
    const auto inner = integer(y);
    if (inner == divisor) return a;
    if (inner && *inner > 0 && *inner % *divisor == 0) return build(Op::FloorMod, x, b);
  }
  return {};
}

Value Simplifier::shift(Op op, Value a, Value b) {
  if (integer(a) == 0 || (op == Op::Shr && integer(a) == -1)) return a;
  const auto amount = integer(b);
  if (!amount) return {};
  const int64_t bits = *amount & 63;
  if (bits == 0) return a;
  if (bits != *amount) return build(op, a, function_.constant_int(bits));
  Value x, y;
  if (match(a, op, x, y)) {
    const auto inner = integer(y);
    if (inner && (*inner & 63) + bits < 64) {
      return build(op, x, function_.constant_int((*inner & 63) + bits));
    }
  }
  return {};
}

Value Simplifier::div(Value a, Value b) {
  Value x, y;
  if (match(a, Op::Neg, x) && match(b, Op::Neg, y)) return build(Op::Div, x, y);
  const auto divisor = real(b);
  if (!divisor || !has_exact_reciprocal(*divisor)) return {};
  return build(Op::Mul, a, function_.constant_float(1 / *divisor));
}

}  // namespace maskjit::passes
