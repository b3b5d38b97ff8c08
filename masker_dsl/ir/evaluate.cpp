#include "masker_dsl/ir/evaluate.h"

#include <cmath>
#include <limits>

#include "masker_dsl/ir/function.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::ir {
namespace {

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kGreatest = std::numeric_limits<int64_t>::max();

Word of(int64_t value) {
  Word word;
  word.integer = value;
  return word;
}

Word of(double value) {
  Word word;
  word.real = value;
  return word;
}

Word of_bool(bool value) { return of(int64_t{value}); }

Word evaluate_float(Op op, double a, double b) {
  switch (op) {
    case Op::Add:
      return of(a + b);
    case Op::Sub:
      return of(a - b);
    case Op::Mul:
      return of(a * b);
    case Op::Min:
      return of(min_number(a, b));
    case Op::Max:
      return of(max_number(a, b));
    case Op::Neg:
      return of(-a);
    case Op::Abs:
      return of(std::fabs(a));
    case Op::Div:
      return of(a / b);
    case Op::Exp:
      return of(std::exp(a));
    case Op::Log:
      return of(std::log(a));
    case Op::Tanh:
      return of(std::tanh(a));
    case Op::Sqrt:
      return of(std::sqrt(a));
    case Op::Floor:
      return of(saturating_floor(a));
    case Op::Eq:
      return of_bool(a == b);
    case Op::Ne:
      return of_bool(a != b);
    case Op::Lt:
      return of_bool(a < b);
    case Op::Le:
      return of_bool(a <= b);
    default:
      internal_error(__FILE__, __LINE__, "not an op on floats: " + std::string(info(op).name));
  }
}

Word evaluate_int(Op op, int64_t a, int64_t b) {
  switch (op) {
    case Op::Add:
      return of(wrapping_add(a, b));
    case Op::Sub:
      return of(wrapping_sub(a, b));
    case Op::Mul:
      return of(wrapping_mul(a, b));
    case Op::Min:
      return of(a < b ? a : b);
    case Op::Max:
      return of(a < b ? b : a);
    case Op::Neg:
      return of(wrapping_sub(0, a));
    case Op::Abs:
      return of(a < 0 ? wrapping_sub(0, a) : a);
    case Op::FloorDiv:
      return of(floor_div(a, b));
    case Op::FloorMod:
      return of(floor_mod(a, b));
    case Op::Shl:
      return of(static_cast<int64_t>(static_cast<uint64_t>(a) << (static_cast<uint64_t>(b) & 63)));
    case Op::Shr:
      return of(a >> (static_cast<uint64_t>(b) & 63));
    case Op::And:
      return of(a & b);
    case Op::Or:
      return of(a | b);
    case Op::Xor:
      return of(a ^ b);
    case Op::Not:
      return of(~a);
    case Op::ToFloat:
      return of(static_cast<double>(a));
    case Op::Eq:
      return of_bool(a == b);
    case Op::Ne:
      return of_bool(a != b);
    case Op::Lt:
      return of_bool(a < b);
    case Op::Le:
      return of_bool(a <= b);
    default:
      internal_error(__FILE__, __LINE__, "not an op on ints: " + std::string(info(op).name));
  }
}

}  // namespace

Word evaluate_words(Op op, Type type, Word a, Word b, Word c) {
  if (op == Op::Select) return a.integer != 0 ? b : c;
  if (type == Type::Float) return evaluate_float(op, a.real, b.real);
  if (type == Type::Bool && op == Op::Not) return of_bool(a.integer == 0);
  return evaluate_int(op, a.integer, b.integer);
}

Scalar evaluate(Op op, std::span<const Scalar> operands) {
  Type types[3] = {};
  Word words[3] = {of(int64_t{0}), of(int64_t{0}), of(int64_t{0})};
  MASKJIT_CHECK(!operands.empty() && operands.size() <= 3, "an op on one to three operands");
  for (size_t i = 0; i < operands.size(); ++i) {
    types[i] = operands[i].type;
    words[i] = word_of(operands[i]);
  }
  const std::optional<Type> type = result_type(op, std::span(types, operands.size()));
  MASKJIT_CHECK(type.has_value(), "operands of the wrong type for " + std::string(info(op).name));
  const Type operand_type = types[operands.size() - 1];
  return scalar_of(*type, evaluate_words(op, operand_type, words[0], words[1], words[2]));
}

int64_t share_of(double share, int64_t n) {
  return saturating_floor(share * static_cast<double>(n));
}

Scalar evaluate_share(double share, int64_t n) { return Scalar::of_int(share_of(share, n)); }

int64_t wrapping_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

int64_t wrapping_sub(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

int64_t wrapping_mul(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

int64_t floor_div(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return wrapping_sub(0, a);
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

int64_t floor_mod(int64_t a, int64_t b) {
  if (b == 0 || b == -1) return 0;
  const int64_t remainder = a % b;
  return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

int64_t saturating_floor(double value) {
  if (std::isnan(value)) return 0;
  const double floored = std::floor(value);
  if (floored < -0x1p63) return kLeast;
  if (floored >= 0x1p63) return kGreatest;
  return static_cast<int64_t>(floored);
}

double min_number(double a, double b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

double max_number(double a, double b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  if (a == b) return std::signbit(a) ? b : a;
  return a < b ? b : a;
}

}  // namespace maskjit::ir
