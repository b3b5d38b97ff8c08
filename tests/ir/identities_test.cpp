// The passes on every small expression of a kind: what random functions meet too rarely.
#include <limits>

#include "masker_dsl/interp/interpreter.h"
#include "masker_dsl/ir/text.h"
#include "masker_dsl/passes/narrow.h"
#include "masker_dsl/passes/passes.h"
#include "masker_dsl/passes/simplify.h"
#include "tests/sanitized.h"

namespace maskjit {
namespace {

using ir::Op;
using ir::Type;
using ir::Value;

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kGreatest = std::numeric_limits<int64_t>::max();

const std::vector<Op>& integer_ops() {
  static const std::vector<Op> ops = {Op::Add, Op::Sub,      Op::Mul,      Op::Min,
                                      Op::Max, Op::FloorDiv, Op::FloorMod, Op::Shl,
                                      Op::Shr, Op::And,      Op::Or,       Op::Xor};
  return ops;
}

// All results of `before`, which have names in order, at every environment; under sanitizers, one
// result of eight.
void expect_equal(const ir::Function& before,
                  const std::vector<interp::Environment>& environments) {
  for (auto* run : {passes::simplify, passes::narrow}) {
    const ir::Function after = run(before);
    ASSERT_THAT(ir::verify(after), testing::IsEmpty());
    for (size_t r = 0; r < before.results().size(); r += kSanitized ? 8 : 1) {
      interp::Evaluator old_value(before, before.results()[r].value);
      interp::Evaluator new_value(after, after.results()[r].value);
      for (const interp::Environment& environment : environments) {
        if (old_value(environment) == new_value(environment)) continue;
        ir::Function one = before;
        one.mutable_results() = {before.results()[r]};
        FAIL() << (run == passes::narrow ? "narrow" : "simplify") << " changes\n"
               << ir::print(ir::compact(one, false)) << "at q = " << environment[ir::Var::Query]
               << ", k = " << environment[ir::Var::Key];
      }
    }
  }
}

void add(ir::Function& function, Value value) {
  function.add_result(fmt::format("r{}", function.results().size()), value);
}

class TwoOps : public testing::TestWithParam<Op> {
 protected:
  TwoOps() {
    for (int64_t i = -5; i <= 9; ++i) at(i);
    for (int64_t i : {int64_t{-9}, int64_t{63}, int64_t{64}, int64_t{192}, ir::kMaxPosition,
                      -ir::kMaxPosition}) {
      at(i);
    }
  }
  void at(int64_t position) {
    interp::Environment environment;
    environment[ir::Var::Query] = position;
    environment[ir::Var::Key] = position < 0 ? 3 : position;
    environments_.push_back(environment);
  }
  std::vector<interp::Environment> environments_;
};

// outer(inner(x, c), d) in all orders, for numbers that rules look at.
TEST_P(TwoOps, OnAVariableAndConstants) {
  const std::vector<int64_t> constants = {0, 1, -1, 2, 3, 8, 62, 64, kLeast, kGreatest};
  std::vector<Op> outers = integer_ops();
  outers.insert(outers.end(), {Op::Eq, Op::Ne, Op::Lt, Op::Le});
  for (Op outer : outers) {
    for (ir::Var var : {ir::Var::Query, ir::Var::Key}) {
      for (int64_t c : constants) {
        ir::Function function;
        const Value x = function.variable(var);
        for (int64_t d : constants) {
          const Value first = function.constant_int(c), second = function.constant_int(d);
          for (Value inner :
               {function.binary(GetParam(), x, first), function.binary(GetParam(), first, x)}) {
            add(function, function.binary(outer, inner, second));
            add(function, function.binary(outer, second, inner));
          }
        }
        expect_equal(function, environments_);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// outer(inner(x, y), z) where two are the same variable, also negated.
TEST_P(TwoOps, OnVariables) {
  std::vector<Op> outers = integer_ops();
  outers.insert(outers.end(), {Op::Eq, Op::Ne, Op::Lt, Op::Le});
  for (Op outer : outers) {
    for (size_t i = 0; i < 5; ++i) {
      ir::Function function;
      const Value q = function.variable(ir::Var::Query), k = function.variable(ir::Var::Key);
      const std::vector<Value> leaves = {q, k, function.unary(Op::Neg, q),
                                         function.unary(Op::Not, k), function.constant_int(2)};
      for (Value y : leaves) {
        const Value inner = function.binary(GetParam(), leaves[i], y);
        for (Value z : leaves) {
          add(function, function.binary(outer, inner, z));
          add(function, function.binary(outer, z, inner));
          for (Op other : {Op::Add, Op::Sub, Op::Mul, Op::Min, Op::Max}) {
            add(function, function.binary(outer, inner, function.binary(other, y, z)));
          }
        }
        for (Op op : {Op::Neg, Op::Abs, Op::Not}) add(function, function.unary(op, inner));
      }
      expect_equal(function, environments_);
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Each, TwoOps, testing::ValuesIn(integer_ops()),
                         [](const auto& test) { return std::string(ir::info(test.param).name); });

// (a op b) op (c op d) over three conditions and their negations: the whole truth table.
TEST(Logic, IsRightOnAllConditions) {
  std::vector<interp::Environment> environments;
  for (int i = 0; i < 8; ++i) {
    interp::Environment environment;
    for (int bit = 0; bit < 3; ++bit) {
      environment.params.push_back(ir::Scalar::of_bool((i >> bit & 1) != 0));
    }
    environments.push_back(environment);
  }
  const std::vector<Op> ops = {Op::And, Op::Or, Op::Xor, Op::Eq};
  for (Op outer : ops) {
    for (Op left : ops) {
      for (Op right : ops) {
        for (size_t i = 0; i < 6; ++i) {
          ir::Function function;
          std::vector<Value> leaves;
          for (const char* name : {"a", "b", "c"}) {
            const uint32_t index = function.add_param({.name = name, .type = Type::Bool});
            leaves.push_back(function.parameter(index));
          }
          for (size_t n = 0; n < 3; ++n) leaves.push_back(function.unary(Op::Not, leaves[n]));
          for (Value b : leaves) {
            const Value x = function.binary(left, leaves[i], b);
            for (Value c : leaves) {
              add(function, function.select(x, c, leaves[i]));
              add(function, function.select(c, x, b));
              for (Value d : leaves) {
                add(function, function.binary(outer, x, function.binary(right, c, d)));
              }
            }
          }
          expect_equal(function, environments);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// Pairs of comparisons with constants and of a variable with another, under every connective.
TEST(Logic, IsRightOnComparisons) {
  std::vector<interp::Environment> environments;
  for (int64_t q = -4; q <= 6; ++q) {
    for (int64_t k = 0; k <= 6; ++k) {
      interp::Environment environment;
      environment[ir::Var::Query] = q;
      environment[ir::Var::Key] = k;
      environments.push_back(environment);
    }
  }
  for (Op connective : {Op::And, Op::Or, Op::Xor, Op::Eq, Op::Ne}) {
    ir::Function function;
    const Value q = function.variable(ir::Var::Query), k = function.variable(ir::Var::Key);
    const std::vector<Value> sides = {q, k, function.constant_int(1), function.constant_int(2),
                                      function.constant_int(-1)};
    std::vector<Value> conditions;
    for (Value a : sides) {
      for (Value b : sides) {
        if (a == b) continue;
        for (Op op : {Op::Lt, Op::Le, Op::Eq}) conditions.push_back(function.binary(op, a, b));
      }
    }
    for (Value a : conditions) {
      for (Value b : conditions) {
        const Value both = function.binary(connective, a, b);
        add(function, both);
        add(function, function.unary(Op::Not, both));
      }
    }
    expect_equal(function, environments);
    if (HasFatalFailure()) return;
  }
  ir::Function choices;
  const Value q = choices.variable(ir::Var::Query), k = choices.variable(ir::Var::Key);
  for (Op op : {Op::Lt, Op::Le, Op::Eq, Op::Ne}) {
    for (Value c : {choices.binary(op, q, k), choices.binary(op, k, q)}) {
      add(choices, choices.select(c, q, k));
      add(choices, choices.select(c, k, q));
      add(choices, choices.select(choices.unary(Op::Not, c), k, q));
    }
  }
  expect_equal(choices, environments);
}

}  // namespace
}  // namespace maskjit
