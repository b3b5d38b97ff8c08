// Each op against a table of operands and results, tensor access at the edges, elements of every
// type.
#include "masker_dsl/interp/interpreter.h"

#include <array>
#include <bit>
#include <cmath>
#include <random>
#include <set>

#include "masker_dsl/interp/elements.h"
#include "masker_dsl/ir/text.h"

namespace maskjit::interp {
namespace {

using ir::Op;
using ir::Scalar;
using ir::Type;
using ir::Value;

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();

Scalar I(int64_t v) { return Scalar::of_int(v); }
Scalar F(double v) { return Scalar::of_float(v); }
Scalar B(bool v) { return Scalar::of_bool(v); }

struct Case {
  Op op;
  std::vector<Scalar> operands;
  Scalar result;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> table = {
      {Op::Add, {I(2), I(3)}, I(5)},
      {Op::Add, {I(kMax), I(1)}, I(kMin)},
      {Op::Add, {F(0.5), F(0.25)}, F(0.75)},
      {Op::Add, {F(-0.0), F(0.0)}, F(0.0)},
      {Op::Sub, {I(2), I(3)}, I(-1)},
      {Op::Sub, {I(kMin), I(1)}, I(kMax)},
      {Op::Sub, {F(kInf), F(kInf)}, F(kNan)},
      {Op::Mul, {I(-4), I(3)}, I(-12)},
      {Op::Mul, {I(kMin), I(-1)}, I(kMin)},
      {Op::Mul, {I(int64_t{1} << 40), I(int64_t{1} << 40)}, I(0)},
      {Op::Mul, {F(1.5), F(-2)}, F(-3)},
      {Op::Min, {I(-1), I(4)}, I(-1)},
      {Op::Min, {F(kNan), F(4)}, F(4)},
      {Op::Min, {F(4), F(kNan)}, F(4)},
      {Op::Min, {F(kNan), F(kNan)}, F(kNan)},
      {Op::Min, {F(0.0), F(-0.0)}, F(-0.0)},
      {Op::Max, {I(-1), I(4)}, I(4)},
      {Op::Max, {F(kNan), F(4)}, F(4)},
      {Op::Max, {F(-0.0), F(0.0)}, F(0.0)},
      {Op::Max, {F(-kInf), F(-1)}, F(-1)},
      {Op::Neg, {I(5)}, I(-5)},
      {Op::Neg, {I(kMin)}, I(kMin)},
      {Op::Neg, {F(0.0)}, F(-0.0)},
      {Op::Abs, {I(-5)}, I(5)},
      {Op::Abs, {I(kMin)}, I(kMin)},
      {Op::Abs, {F(-0.0)}, F(0.0)},
      {Op::FloorDiv, {I(7), I(2)}, I(3)},
      {Op::FloorDiv, {I(-7), I(2)}, I(-4)},
      {Op::FloorDiv, {I(7), I(-2)}, I(-4)},
      {Op::FloorDiv, {I(-7), I(-2)}, I(3)},
      {Op::FloorDiv, {I(6), I(-2)}, I(-3)},
      {Op::FloorDiv, {I(7), I(0)}, I(0)},
      {Op::FloorDiv, {I(kMin), I(-1)}, I(kMin)},
      {Op::FloorDiv, {I(kMin), I(kMin)}, I(1)},
      {Op::FloorDiv, {I(1), I(kMin)}, I(-1)},
      {Op::FloorMod, {I(7), I(3)}, I(1)},
      {Op::FloorMod, {I(-7), I(3)}, I(2)},
      {Op::FloorMod, {I(7), I(-3)}, I(-2)},
      {Op::FloorMod, {I(-7), I(-3)}, I(-1)},
      {Op::FloorMod, {I(-6), I(3)}, I(0)},
      {Op::FloorMod, {I(7), I(0)}, I(0)},
      {Op::FloorMod, {I(kMin), I(-1)}, I(0)},
      {Op::FloorMod, {I(1), I(kMin)}, I(kMin + 1)},
      {Op::Shl, {I(3), I(4)}, I(48)},
      {Op::Shl, {I(1), I(63)}, I(kMin)},
      {Op::Shl, {I(3), I(64)}, I(3)},
      {Op::Shl, {I(3), I(-63)}, I(6)},
      {Op::Shl, {I(-1), I(1)}, I(-2)},
      {Op::Shr, {I(48), I(4)}, I(3)},
      {Op::Shr, {I(-1), I(63)}, I(-1)},
      {Op::Shr, {I(-5), I(1)}, I(-3)},
      {Op::Shr, {I(8), I(65)}, I(4)},
      {Op::And, {I(12), I(10)}, I(8)},
      {Op::And, {B(true), B(false)}, B(false)},
      {Op::And, {B(true), B(true)}, B(true)},
      {Op::Or, {I(12), I(10)}, I(14)},
      {Op::Or, {B(true), B(false)}, B(true)},
      {Op::Or, {B(false), B(false)}, B(false)},
      {Op::Xor, {I(12), I(10)}, I(6)},
      {Op::Xor, {B(true), B(true)}, B(false)},
      {Op::Xor, {B(true), B(false)}, B(true)},
      {Op::Not, {I(0)}, I(-1)},
      {Op::Not, {B(true)}, B(false)},
      {Op::Not, {B(false)}, B(true)},
      {Op::Div, {F(1), F(4)}, F(0.25)},
      {Op::Div, {F(1), F(-0.0)}, F(-kInf)},
      {Op::Div, {F(0), F(0)}, F(kNan)},
      {Op::Exp, {F(0)}, F(1)},
      {Op::Exp, {F(-kInf)}, F(0)},
      {Op::Log, {F(1)}, F(0)},
      {Op::Log, {F(0)}, F(-kInf)},
      {Op::Log, {F(-1)}, F(kNan)},
      {Op::Tanh, {F(0)}, F(0)},
      {Op::Tanh, {F(kInf)}, F(1)},
      {Op::Sqrt, {F(9)}, F(3)},
      {Op::Sqrt, {F(-1)}, F(kNan)},
      {Op::Floor, {F(2.75)}, I(2)},
      {Op::Floor, {F(-2.25)}, I(-3)},
      {Op::Floor, {F(kNan)}, I(0)},
      {Op::Floor, {F(1e30)}, I(kMax)},
      {Op::Floor, {F(-kInf)}, I(kMin)},
      {Op::Floor, {F(0x1p63)}, I(kMax)},
      {Op::Floor, {F(-0x1p63)}, I(kMin)},
      {Op::ToFloat, {I(-3)}, F(-3)},
      {Op::ToFloat, {I((int64_t{1} << 53) + 1)}, F(0x1p53)},
      {Op::Eq, {I(3), I(3)}, B(true)},
      {Op::Eq, {F(kNan), F(kNan)}, B(false)},
      {Op::Eq, {F(0.0), F(-0.0)}, B(true)},
      {Op::Eq, {B(true), B(false)}, B(false)},
      {Op::Ne, {I(3), I(3)}, B(false)},
      {Op::Ne, {F(kNan), F(1)}, B(true)},
      {Op::Ne, {B(true), B(false)}, B(true)},
      {Op::Lt, {I(kMin), I(kMax)}, B(true)},
      {Op::Lt, {I(3), I(3)}, B(false)},
      {Op::Lt, {F(kNan), F(1)}, B(false)},
      {Op::Lt, {F(-0.0), F(0.0)}, B(false)},
      {Op::Le, {I(3), I(3)}, B(true)},
      {Op::Le, {I(4), I(3)}, B(false)},
      {Op::Le, {F(1), F(kNan)}, B(false)},
      {Op::Select, {B(true), I(1), I(2)}, I(1)},
      {Op::Select, {B(false), I(1), I(2)}, I(2)},
      {Op::Select, {B(true), F(kNan), F(2)}, F(kNan)},
      {Op::Select, {B(false), B(true), B(false)}, B(false)},
  };
  return table;
}

bool same(const Scalar& a, const Scalar& b) {
  if (a.type != b.type || a.integer != b.integer) return false;
  if (std::isnan(a.real) || std::isnan(b.real)) return std::isnan(a.real) && std::isnan(b.real);
  return std::bit_cast<uint64_t>(a.real) == std::bit_cast<uint64_t>(b.real);
}

// Both ways: evaluate() on constants, and an Evaluator on parameters.
TEST(Interpreter, EveryOpOnItsTable) {
  std::set<Op> seen;
  for (size_t i = 0; i < cases().size(); ++i) {
    const Case& item = cases()[i];
    SCOPED_TRACE(fmt::format("case {}: {}", i, ir::info(item.op).name));
    seen.insert(item.op);
    EXPECT_TRUE(same(evaluate(item.op, item.operands), item.result));
    ir::Function f;
    Environment environment;
    ir::Node like;
    like.op = item.op;
    std::vector<Value> operands;
    for (const Scalar& operand : item.operands) {
      const uint32_t index =
          f.add_param({.name = fmt::format("p{}", operands.size()), .type = operand.type});
      operands.push_back(f.parameter(index));
      environment.params.push_back(operand);
    }
    const Value result = f.rebuild(like, operands);
    // Commutative operands are in order of their ids, which is the order of the parameters.
    EXPECT_TRUE(same(Evaluator(f, result)(environment), item.result));
  }
  for (int i = 0; i < ir::kNumOps; ++i) {
    const Op op = static_cast<Op>(i);
    if (ir::info(op).operands > 0 && op != Op::Share) {
      EXPECT_TRUE(seen.contains(op)) << ir::info(op).name << " has no case";
    }
  }
}

TEST(Interpreter, Shares) {
  EXPECT_EQ(evaluate_share(0.1, 1009), I(100));
  EXPECT_EQ(evaluate_share(1.0, 7), I(7));
  EXPECT_EQ(evaluate_share(0.5, -3), I(-2));
  EXPECT_EQ(evaluate_share(kInf, 1), I(kMax));
  EXPECT_EQ(evaluate_share(kInf, 0), I(0));
  EXPECT_EQ(evaluate_share(kNan, 1), I(0));
  EXPECT_EQ(evaluate_share(-1e300, 1), I(kMin));
  ir::Function f;
  const Value share = f.share(0.25, f.variable(ir::Var::KvLen));
  Environment environment;
  environment[ir::Var::KvLen] = 11;
  EXPECT_EQ(Evaluator(f, share)(environment), I(2));
}

TEST(Interpreter, ReadsVariablesAndTheScore) {
  ir::Function f;
  Environment environment;
  for (int i = 0; i < ir::kNumVars; ++i) environment.vars[static_cast<size_t>(i)] = 100 + i;
  environment.score = 0.125;
  for (int i = 0; i < ir::kNumVars; ++i) {
    const ir::Var var = static_cast<ir::Var>(i);
    const Scalar expected = var == ir::Var::Score ? F(0.125) : I(100 + i);
    EXPECT_EQ(Evaluator(f, f.variable(var))(environment), expected) << ir::name_of(var);
  }
}

TEST(Interpreter, AnEvaluatorCanBeUsedAgain) {
  ir::Function f;
  const Value q = f.variable(ir::Var::Query), k = f.variable(ir::Var::Key);
  Evaluator causal(f, f.binary(Op::Le, k, q));
  Environment environment;
  for (int64_t i = 0; i < 5; ++i) {
    for (int64_t j = 0; j < 5; ++j) {
      environment[ir::Var::Query] = i;
      environment[ir::Var::Key] = j;
      EXPECT_EQ(causal(environment), B(j <= i));
    }
  }
}

template <typename T>
void expect_load(ir::Element element, std::vector<T> data, int64_t index, Scalar expected) {
  const TensorValue tensor{data.data(), element, {static_cast<int64_t>(data.size())}, {1}};
  const int64_t subscripts[] = {index};
  const Scalar actual = ir::scalar_of(ir::value_type(element), load(tensor, subscripts));
  EXPECT_TRUE(same(actual, expected)) << ir::name_of(element) << " at " << index;
}

TEST(Tensors, ElementsOfEveryType) {
  expect_load<uint8_t>(ir::Element::Bool, {0, 1, 0}, 1, B(true));
  expect_load<int8_t>(ir::Element::I8, {0, -128}, 1, I(-128));
  expect_load<uint8_t>(ir::Element::U8, {0, 255}, 1, I(255));
  expect_load<int16_t>(ir::Element::I16, {0, -32768}, 1, I(-32768));
  expect_load<int32_t>(ir::Element::I32, {0, INT32_MIN}, 1, I(INT32_MIN));
  expect_load<int64_t>(ir::Element::I64, {0, kMin}, 1, I(kMin));
  expect_load<float>(ir::Element::F32, {0, 0.1f}, 1, F(static_cast<double>(0.1f)));
  expect_load<double>(ir::Element::F64, {0, 0.1}, 1, F(0.1));
  expect_load<uint16_t>(ir::Element::BF16, {0, 0x3F80}, 1, F(1.0));
  expect_load<uint16_t>(ir::Element::BF16, {0, 0xC2C8}, 1, F(-100.0));
  expect_load<uint16_t>(ir::Element::BF16, {0, 0xFF80}, 1, F(-kInf));
  expect_load<uint16_t>(ir::Element::F16, {0, 0x3C00}, 1, F(1.0));
  expect_load<uint16_t>(ir::Element::F16, {0, 0xC000}, 1, F(-2.0));
  expect_load<uint16_t>(ir::Element::F16, {0, 0x7BFF}, 1, F(65504.0));
  expect_load<uint16_t>(ir::Element::F16, {0, 0x0001}, 1, F(0x1p-24));
  expect_load<uint16_t>(ir::Element::F16, {0, 0x03FF}, 1, F(1023 * 0x1p-24));
  expect_load<uint16_t>(ir::Element::F16, {0, 0x8000}, 1, F(-0.0));
  expect_load<uint16_t>(ir::Element::F16, {0, 0x7C00}, 1, F(kInf));
  expect_load<uint16_t>(ir::Element::F16, {0, 0x7E00}, 1, F(kNan));
}

// [2, 3] with padded rows: row r, column c holds 10 * r + c.
class Grid : public testing::Test {
 protected:
  Grid() : f_() {
    index_ =
        f_.add_tensor({"t", ir::Element::I32, {{ir::Dim::Kind::Batch}, {ir::Dim::Kind::KvLen}}});
    environment_.tensors.push_back({data_, ir::Element::I32, {2, 3}, {5, 1}});
  }

  int64_t run(Op op, std::vector<int64_t> subscripts) {
    std::vector<Value> operands;
    for (int64_t subscript : subscripts) operands.push_back(f_.constant_int(subscript));
    return Evaluator(f_, f_.tensor_op(op, index_, operands))(environment_).integer;
  }

  const int32_t data_[10] = {1, 2, 3, -99, -99, 11, 12, 13, -99, -99};
  ir::Function f_;
  uint32_t index_ = 0;
  Environment environment_;
};

TEST_F(Grid, LoadsAndReadsZeroOutside) {
  EXPECT_EQ(run(Op::TensorLoad, {0, 0}), 1);
  EXPECT_EQ(run(Op::TensorLoad, {1, 2}), 13);
  for (std::vector<int64_t> outside :
       {std::vector<int64_t>{0, 3}, {0, -1}, {2, 0}, {-1, 0}, {kMax, 0}, {0, kMin}}) {
    EXPECT_EQ(run(Op::TensorLoad, outside), 0);
  }
}

TEST_F(Grid, ExtentsOfOneBroadcastOverAnySubscript) {
  environment_.tensors[0].extents = {1, 3};
  EXPECT_EQ(run(Op::TensorLoad, {7, 2}), 3);
  EXPECT_EQ(run(Op::TensorLoad, {-1, 2}), 3);
  EXPECT_EQ(run(Op::TensorLoad, {0, 3}), 0);
  environment_.tensors[0].extents = {2, 1};
  EXPECT_EQ(run(Op::TensorLoad, {1, kMax}), 11);
  EXPECT_EQ(run(Op::TensorLoad, {2, 0}), 0);
  EXPECT_EQ(run(Op::TensorMin, {1, -5, 100}), 11);
  EXPECT_EQ(run(Op::TensorMin, {1, 5, 4}), 0);
}

TEST_F(Grid, EmptyTensorsReadZero) {
  environment_.tensors[0] = {nullptr, ir::Element::I32, {2, 0}, {0, 1}};
  EXPECT_EQ(run(Op::TensorLoad, {0, 0}), 0);
  EXPECT_EQ(run(Op::TensorMax, {0, -4, 4}), 0);
  environment_.tensors[0] = {nullptr, ir::Element::I32, {0, 1}, {1, 1}};
  EXPECT_EQ(run(Op::TensorMax, {0, 0, 0}), 0);
}

TEST_F(Grid, MinimumAndMaximumCountOutsideAsZero) {
  EXPECT_EQ(run(Op::TensorMin, {1, 0, 2}), 11);
  EXPECT_EQ(run(Op::TensorMax, {1, 0, 2}), 13);
  EXPECT_EQ(run(Op::TensorMin, {1, 1, 1}), 12);
  EXPECT_EQ(run(Op::TensorMin, {1, 0, 3}), 0);
  EXPECT_EQ(run(Op::TensorMin, {1, -1, 2}), 0);
  EXPECT_EQ(run(Op::TensorMax, {1, kMin, kMax}), 13);
  EXPECT_EQ(run(Op::TensorMax, {1, 3, kMax}), 0);
  EXPECT_EQ(run(Op::TensorMax, {1, 2, 1}), 0);
  EXPECT_EQ(run(Op::TensorMax, {2, 0, 2}), 0);
}

// TensorMin and TensorMax are what their definition by TensorLoad says.
TEST_F(Grid, MinimumAndMaximumAgreeWithLoads) {
  for (int64_t row = -1; row <= 2; ++row) {
    for (int64_t lo = -2; lo <= 4; ++lo) {
      for (int64_t hi = lo; hi <= 4; ++hi) {
        int64_t least = kMax, greatest = kMin;
        for (int64_t i = lo; i <= hi; ++i) {
          least = std::min(least, run(Op::TensorLoad, {row, i}));
          greatest = std::max(greatest, run(Op::TensorLoad, {row, i}));
        }
        EXPECT_EQ(run(Op::TensorMin, {row, lo, hi}), least);
        EXPECT_EQ(run(Op::TensorMax, {row, lo, hi}), greatest);
      }
    }
  }
}

TEST(Tensors, BoolMinimumIsAnInt) {
  const uint8_t flags[] = {1, 1, 0, 1};
  ir::Function f;
  const uint32_t index = f.add_tensor({"f", ir::Element::Bool, {{ir::Dim::Kind::KvLen}}});
  Environment environment;
  environment.tensors.push_back({flags, ir::Element::Bool, {4}, {1}});
  const Value low[] = {f.constant_int(0), f.constant_int(1)};
  const Value all[] = {f.constant_int(0), f.constant_int(3)};
  EXPECT_EQ(Evaluator(f, f.tensor_op(Op::TensorMin, index, low))(environment), I(1));
  EXPECT_EQ(Evaluator(f, f.tensor_op(Op::TensorMin, index, all))(environment), I(0));
  EXPECT_EQ(Evaluator(f, f.tensor_op(Op::TensorMax, index, all))(environment), I(1));
}

// A mask of 3 rows and 70 columns; rows start at words.
class Bits : public testing::Test {
 protected:
  Bits() {
    std::mt19937_64 generator(5);
    for (uint64_t& word : words_) word = generator() & generator();
    words_[4] = ~uint64_t{0};
    for (float& w : weights_) w = static_cast<float>(generator() % 8 + 1) / 8;
    tensor_ =
        f_.add_tensor({"m", ir::Element::Bit, {{ir::Dim::Kind::QLen}, {ir::Dim::Kind::KvLen}}});
    environment_.tensors.push_back(
        {words_.data(), ir::Element::Bit, {3, 70}, {128, 1}, weights_.data()});
  }
  Scalar run(Op op, std::initializer_list<int64_t> operands) {
    std::vector<Value> values;
    for (int64_t operand : operands) values.push_back(f_.constant_int(operand));
    return Evaluator(f_, f_.tensor_op(op, tensor_, values))(environment_);
  }
  bool bit(int64_t row, int64_t column) {
    if (row < 0 || row > 2 || column < 0 || column > 69) return false;
    return (words_[static_cast<size_t>(row * 2 + column / 64)] >> column % 64 & 1) != 0;
  }

  std::array<uint64_t, 6> words_;
  std::array<float, 6 * 64> weights_;
  ir::Function f_;
  uint32_t tensor_;
  Environment environment_;
};

TEST_F(Bits, LoadsAndWeights) {
  for (int64_t row = -1; row <= 3; ++row) {
    for (int64_t column = -1; column <= 70; ++column) {
      EXPECT_EQ(run(Op::TensorLoad, {row, column}), B(bit(row, column)));
      const double weight =
          bit(row, column) ? static_cast<double>(weights_[static_cast<size_t>(row * 128 + column)])
                           : 0;
      EXPECT_EQ(run(Op::TensorWeight, {row, column}), F(weight));
    }
  }
  environment_.tensors[0].weights = nullptr;
  EXPECT_EQ(run(Op::TensorWeight, {2, 5}), F(1));
  environment_.tensors[0].extents = {1, 70};
  EXPECT_EQ(run(Op::TensorLoad, {7, 3}), B(bit(0, 3)));
}

TEST_F(Bits, AnyAndAllAgreeWithLoads) {
  const int64_t columns[] = {-3, -1, 0, 1, 2, 30, 63, 64, 68, 69, 70, 75, kMin, kMax};
  for (int64_t row_lo = -1; row_lo <= 3; ++row_lo) {
    for (int64_t row_hi = row_lo - 1; row_hi <= 3; ++row_hi) {
      for (int64_t lo : columns) {
        for (int64_t hi : columns) {
          bool any = false, all = true;
          for (int64_t row = row_lo; row <= row_hi; ++row) {
            for (int64_t c = std::max<int64_t>(lo, -3); c <= std::min<int64_t>(hi, 75); ++c) {
              any = any || bit(row, c);
              all = all && bit(row, c);
            }
          }
          if (lo > 75 && lo <= hi && row_lo <= row_hi) all = false;
          if (hi < -3 && lo <= hi && row_lo <= row_hi) all = false;
          EXPECT_EQ(run(Op::TensorAny, {row_lo, row_hi, lo, hi}), B(any));
          EXPECT_EQ(run(Op::TensorAll, {row_lo, row_hi, lo, hi}), B(all));
        }
      }
    }
  }
}

TEST(InterpreterDeathTest, MissingArgumentsAreInternalErrors) {
  ir::Function f;
  const uint32_t n = f.add_param({.name = "n"});
  Evaluator evaluator(f, f.parameter(n));
  Environment environment;
  EXPECT_DEATH(evaluator(environment), "a parameter without a value");
  environment.params.push_back(F(1));
  EXPECT_DEATH(evaluator(environment), "a value of another type");
}

}  // namespace
}  // namespace maskjit::interp
