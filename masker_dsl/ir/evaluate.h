#pragma once
// The meaning of one op on constant operands: what the interpreter runs and what the folding pass
// uses, so that the two cannot differ. Total: every operand has a defined result, as the op table
// says.
#include <cstdint>
#include <span>

#include "masker_dsl/ir/op.h"
#include "masker_dsl/ir/types.h"

namespace maskjit::ir {

// A value whose type is known from elsewhere: `integer` for Int and Bool (0 or 1), `real` for
// Float.
union Word {
  int64_t integer;
  double real;
};

inline Word word_of(const Scalar& scalar) {
  Word word;
  if (scalar.type == Type::Float) {
    word.real = scalar.real;
  } else {
    word.integer = scalar.integer;
  }
  return word;
}
inline Scalar scalar_of(Type type, Word word) {
  return type == Type::Float ? Scalar::of_float(word.real) : Scalar{type, word.integer, 0};
}

// `type` is the type of the operands (of the last two for Select). Missing operands are ignored.
// Not for leaves, Share and tensor ops.
Word evaluate_words(Op op, Type type, Word a, Word b, Word c);
Scalar evaluate(Op op, std::span<const Scalar> operands);

// floor(share * of) in f64, saturating; NaN gives 0.
int64_t share_of(double share, int64_t of);
Scalar evaluate_share(double share, int64_t of);

// Integer arithmetic modulo 2^64 and floor division, as the op table defines them.
int64_t wrapping_add(int64_t a, int64_t b);
int64_t wrapping_sub(int64_t a, int64_t b);
int64_t wrapping_mul(int64_t a, int64_t b);
int64_t floor_div(int64_t a, int64_t b);
int64_t floor_mod(int64_t a, int64_t b);
int64_t saturating_floor(double value);
double min_number(double a, double b);
double max_number(double a, double b);

}  // namespace maskjit::ir
