#pragma once
// Builds MaskIR and simplifies while it builds, so that a tile function stays about as small as the
// mask it comes from: constants fold, comparisons that static value ranges decide vanish, equal
// sums are built once. What is built is equal in value to the op that was asked for.
//
// A Sum is an exact integer (not modulo 2^64), so that an inequality between sums can be decided or
// rearranged freely; it becomes IR only if its static range fits 64 bits.
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "masker_dsl/analysis/value_range.h"
#include "masker_dsl/ir/function.h"

namespace maskjit::analysis {

__extension__ using Wide = __int128;
struct WideInterval {
  Wide lo = 0, hi = 0;
};

struct Sum {
  std::vector<std::pair<ir::Value, int64_t>> pieces;  // value times coefficient
  int64_t constant = 0;
  bool overflow = false;  // a coefficient or the constant left 64 bits: the sum is unknown

  void add(ir::Value value, int64_t coefficient);
  void add_constant(int64_t value);
  void add(const Sum& other, int64_t scale);
};

class FoldingBuilder {
 public:
  explicit FoldingBuilder(ir::Function& target) : target_(target) {}

  ir::Function& function() { return target_; }
  const ir::Function& function() const { return target_; }
  const ValueRange& range(ir::Value value);
  std::optional<int64_t> constant_of(ir::Value value) const;  // Int and Bool constants
  bool is_true(ir::Value value) const { return constant_of(value) == 1; }
  bool is_false(ir::Value value) const { return constant_of(value) == 0; }

  ir::Value integer(int64_t value) { return target_.constant_int(value); }
  ir::Value boolean(bool value) { return target_.constant_bool(value); }
  ir::Value variable(ir::Var var) { return target_.variable(var); }

  ir::Value unary(ir::Op op, ir::Value a);
  ir::Value binary(ir::Op op, ir::Value a, ir::Value b);
  ir::Value select(ir::Value condition, ir::Value a, ir::Value b);

  ir::Value add(ir::Value a, ir::Value b) { return binary(ir::Op::Add, a, b); }
  ir::Value sub(ir::Value a, ir::Value b) { return binary(ir::Op::Sub, a, b); }
  ir::Value mul(ir::Value a, ir::Value b) { return binary(ir::Op::Mul, a, b); }
  ir::Value min(ir::Value a, ir::Value b) { return binary(ir::Op::Min, a, b); }
  ir::Value max(ir::Value a, ir::Value b) { return binary(ir::Op::Max, a, b); }
  ir::Value le(ir::Value a, ir::Value b) { return binary(ir::Op::Le, a, b); }
  ir::Value lt(ir::Value a, ir::Value b) { return binary(ir::Op::Lt, a, b); }
  ir::Value eq(ir::Value a, ir::Value b) { return binary(ir::Op::Eq, a, b); }
  ir::Value both(ir::Value a, ir::Value b) { return binary(ir::Op::And, a, b); }
  ir::Value either(ir::Value a, ir::Value b) { return binary(ir::Op::Or, a, b); }
  ir::Value negate(ir::Value a);  // of Bool, pushed down to the comparisons

  // The sum as IR, or nullopt if it may leave 64 bits.
  std::optional<ir::Value> value_of(Sum sum);
  // sum <= 0, or nullopt if neither arrangement of its sides fits 64 bits.
  std::optional<ir::Value> at_most_zero(Sum sum);
  // True if a <= b in every launch, as far as the structure of the two values shows.
  bool provably_at_most(ir::Value a, ir::Value b, int depth = 4);

 private:
  struct Offset {  // value = base + constant, without wrapping
    ir::Value base;
    int64_t constant = 0;
  };
  Offset offset_of(ir::Value value);
  ir::Value combine(ir::Op op, ir::Value a, ir::Value b);
  ir::Value compare(ir::Op op, ir::Value a, ir::Value b);
  ir::Value extreme(ir::Op op, ir::Value a, ir::Value b);
  ir::Value logical(ir::Op op, ir::Value a, ir::Value b);
  ir::Value emit(const Sum& sum);
  void canonicalise(Sum& sum);
  WideInterval total(const Sum& sum);
  bool fits(const Sum& sum);
  ir::Value compute_negation(ir::Value a);
  Sum without_tile_widths(Sum sum, int sign);
  std::optional<ir::Value> at_most(Sum left, Sum right, int64_t constant, bool constant_on_left);

  ir::Function& target_;
  std::vector<ValueRange> ranges_;
  std::unordered_map<uint32_t, ir::Value> negations_;
};

}  // namespace maskjit::analysis
