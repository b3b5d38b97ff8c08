// Static value ranges: worked examples, and every node of random functions in random environments.
#include "masker_dsl/analysis/value_range.h"

#include <gtest/gtest.h>

#include "masker_dsl/ir/text.h"
#include "tests/analysis/mask_expr.h"
#include "tests/ir/random_function.h"

namespace maskjit {
namespace {

using analysis::Interval;
using mask_expr::Builder;
using mask_expr::Expr;
using mask_expr::Names;
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kPosition = ir::kMaxPosition;

analysis::ValueRange range_of(const Expr& e) {
  return analysis::value_ranges(e.builder->function)[e.value.id];
}

void expect(const Expr& e, int64_t lo, int64_t hi) {
  EXPECT_EQ(range_of(e).interval.lo, lo);
  EXPECT_EQ(range_of(e).interval.hi, hi);
  EXPECT_FALSE(range_of(e).may_wrap);
}

void expect_wrap(const Expr& e) {
  EXPECT_TRUE(range_of(e).may_wrap);
  EXPECT_EQ(range_of(e).interval, (Interval{kMin, kMax}));
}

TEST(ValueRange, Positions) {
  Builder b;
  Names n(b);
  expect(n.k, 0, kPosition);
  expect(n.q, -kPosition, kPosition);
  expect(n.q - n.k, -2 * kPosition, kPosition);
  expect(n.runtime("n"), -ir::kMaxRuntimeInt, ir::kMaxRuntimeInt);
}

TEST(ValueRange, Arithmetic) {
  Builder b;
  Names n(b);
  expect(n.k * -3, -3 * kPosition, 0);
  expect(abs(n.q), 0, kPosition);
  expect(n.q / 64, -kPosition / 64, kPosition / 64);
  expect(n.q / -64, -kPosition / 64, kPosition / 64);
  expect(n.q % 8, 0, 7);
  expect(n.q % -8, -7, 0);
  expect(n.k / n.k, 0, kPosition);
  expect(n.k % n.q, -kPosition + 1, kPosition - 1);
  expect(min(n.q, 5), -kPosition, 5);
  expect(clamp(n.q, 3, 9), 3, 9);
  expect(n.k << 4, 0, kPosition * 16);
  expect(n.q >> 4, -kPosition / 16, kPosition / 16);
  expect(n.k >> n.q, 0, kPosition);
  expect(n.integer(17) % 4, 1, 1);
}

TEST(ValueRange, Bits) {
  Builder b;
  Names n(b);
  expect(n.k & 63, 0, 63);
  expect(n.q & 63, 0, 63);
  expect(n.k | 1, 1, 2 * kPosition - 1);
  expect(clamp(n.k, 16, 19) ^ 3, 16, 19);
  expect(!n.q, -kPosition - 1, kPosition - 1);
}

TEST(ValueRange, Comparisons) {
  Builder b;
  Names n(b);
  expect(n.k < 0, 0, 0);
  expect(n.k >= 0, 1, 1);
  expect(n.k < 5, 0, 1);
  expect(clamp(n.q, 0, 3) != clamp(n.k, 7, 9), 1, 1);
  expect(select(n.k < 0, n.k, n.integer(3)), 3, 3);
}

TEST(ValueRange, Wrapping) {
  Builder b;
  Names n(b);
  expect(n.integer(kMax) + 0, kMax, kMax);
  expect_wrap(n.k + kMax);
  expect_wrap(n.k * (int64_t{1} << 40));
  expect_wrap(-n.integer(kMin));
  expect_wrap(abs(n.integer(kMin)));
  expect_wrap(n.integer(kMin) / -1);
  expect_wrap(n.k << n.q);
  expect(n.integer(kMin) % -1, 0, 0);
}

TEST(ValueRange, Tensors) {
  Builder b;
  Names n(b);
  const std::vector<ir::Dim> keys = {{ir::Dim::Kind::KvLen, 0}};
  expect(n.load("a", ir::Element::I8, keys, {n.k}), -128, 127);
  expect(n.load("b", ir::Element::U8, keys, {n.k}), 0, 255);
  expect(n.load("c", ir::Element::Bool, keys, {n.k}), 0, 1);
}

// The exact result of an op that can wrap.
__extension__ using Wide = __int128;
std::optional<Wide> exact(const ir::Node& node, Wide a, Wide b) {
  switch (node.op) {
    case ir::Op::Add:
      return a + b;
    case ir::Op::Sub:
      return a - b;
    case ir::Op::Mul:
      return a * b;
    case ir::Op::Neg:
      return -a;
    case ir::Op::Abs:
      return a < 0 ? -a : a;
    default:
      return std::nullopt;
  }
}

TEST(ValueRange, HoldsOnRandomFunctions) {
  int nodes = 0, narrow = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    random::Generator generator(seed);
    random::FunctionOptions options;
    options.tile = seed % 2 == 1;
    const ir::Function function = random::function(generator, options);
    const auto ranges = analysis::value_ranges(function);
    ASSERT_EQ(ranges.size(), function.size());
    std::vector<interp::Evaluator> evaluators;
    for (uint32_t id = 0; id < function.size(); ++id)
      evaluators.emplace_back(function, ir::Value{id});
    for (int i = 0; i < 4; ++i) {
      const random::Environment environment = random::environment(generator, function);
      std::vector<int64_t> values;
      for (uint32_t id = 0; id < function.size(); ++id) {
        const ir::Node& node = function[ir::Value{id}];
        const ir::Word word = evaluators[id].run(environment.values);
        values.push_back(node.type == ir::Type::Float ? 0 : word.integer);
        if (node.type == ir::Type::Float) continue;
        ++nodes;
        narrow += ranges[id].interval != Interval{};
        ASSERT_TRUE(ranges[id].interval.contains(values[id]))
            << "%" << id << " = " << values[id] << " seed " << seed << "\n"
            << ir::print(function);
        if (node.operands.empty() || node.type != ir::Type::Int || ranges[id].may_wrap) continue;
        const Wide b = node.operands.size() > 1 ? values[node.operands[1].id] : 0;
        if (auto wide = exact(node, values[node.operands[0].id], b)) {
          ASSERT_TRUE(*wide == values[id]) << "%" << id << " wraps\n" << ir::print(function);
        }
      }
    }
  }
  EXPECT_GT(narrow, nodes / 3);
}

}  // namespace
}  // namespace maskjit
