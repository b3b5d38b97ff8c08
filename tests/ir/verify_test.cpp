// verify names each kind of broken function. The builders cannot make one, so that nodes are
// appended as they are.
#include "masker_dsl/ir/text.h"

namespace maskjit::ir {
namespace {

Node node(Op op, Type type, std::vector<Value> operands = {}, uint32_t index = 0) {
  Node out;
  out.op = op;
  out.type = type;
  out.operands = std::move(operands);
  out.index = index;
  return out;
}

Function good() {
  Function f;
  f.add_param({.name = "n"});
  f.add_tensor({"t", Element::I32, {{Dim::Kind::KvLen}}});
  f.variable(Var::Query);
  f.variable(Var::Key);
  return f;
}

void expect_violation(const Function& function, const char* message) {
  EXPECT_THAT(verify(function), testing::Contains(testing::HasSubstr(message)));
}

TEST(Verify, AcceptsAWellFormedFunction) { EXPECT_THAT(verify(good()), testing::IsEmpty()); }

struct BrokenNode {
  Node node;
  const char* message;
};

TEST(Verify, RejectsBrokenNodes) {
  const Value q{0}, k{1}, later{9};
  Node odd_bool = node(Op::Const, Type::Bool);
  odd_bool.constant = {Type::Bool, 2, 0};
  Node real_int = node(Op::Const, Type::Int);
  real_int.constant = {Type::Int, 1, 0.5};
  Node mistyped = node(Op::Const, Type::Float);
  mistyped.constant = Scalar::of_int(3);
  const std::vector<BrokenNode> cases = {
      {node(Op::Neg, Type::Int, {later}), "%2: operand %9 does not precede its user"},
      {node(Op::Neg, Type::Int, {Value{2}}), "%2: operand %2 does not precede its user"},
      {node(Op::Neg, Type::Int, {Value{}}), "does not precede its user"},
      {node(Op::Add, Type::Int, {q}), "%2: add takes 2 operands, not 1"},
      {node(Op::Const, Type::Int, {q}), "%2: const takes 0 operands, not 1"},
      {node(Op::Exp, Type::Float, {q}), "%2: exp does not take these operands"},
      {node(Op::Select, Type::Int, {q, q, k}), "%2: select does not take these operands"},
      {node(Op::Lt, Type::Int, {q, k}), "%2: lt gives bool, not int"},
      {node(Op::Add, Type::Int, {k, q}), "%2: the operands of add are not in order"},
      {node(Op::Variable, Type::Int, {}, 99), "%2: no variable 99"},
      {node(Op::Variable, Type::Float, {}, 2), "%2: var gives int, not float"},
      {node(Op::Parameter, Type::Int, {}, 1), "%2: no parameter 1"},
      {node(Op::Parameter, Type::Bool, {}, 0), "%2: param gives int, not bool"},
      {node(Op::TensorLoad, Type::Int, {k}, 1), "%2: no tensor 1"},
      {node(Op::TensorLoad, Type::Float, {k}, 0), "%2: tensor_load gives int, not float"},
      {node(Op::TensorLoad, Type::Int, {q, k}, 0), "%2: tensor_load does not take these operands"},
      {node(Op::TensorMin, Type::Int, {k}, 0), "%2: tensor_min does not take these operands"},
      {node(Op::Variable, Type::Int, {}, static_cast<uint32_t>(Var::Key)), "%2 repeats %1"},
      {odd_bool, "%2: a bool constant of 2"},
      {real_int, "%2: a int constant with a real part"},
      {mistyped, "%2: const gives int, not float"},
  };
  for (const BrokenNode& item : cases) {
    Function f = good();
    f.append_unchecked(item.node);
    expect_violation(f, item.message);
  }
}

TEST(Verify, RejectsBrokenSignatures) {
  auto with_param = [](Param param) {
    Function f = good();
    f.mutable_params().push_back(std::move(param));
    return f;
  };
  expect_violation(with_param({.name = "n"}), "two parameters are called 'n'");
  expect_violation(with_param({.name = "t"}), "the name 't' is declared twice");
  expect_violation(with_param({.name = "2x"}), "'2x' is not a name for a parameter");
  expect_violation(with_param({.name = ""}), "'' is not a name for a parameter");
  expect_violation(with_param({.name = "a", .time = BindingTime::Tensor}),
                   "parameter 'a' is bound at time 'tensor'");
  expect_violation(with_param({.name = "a", .time = BindingTime::Index}),
                   "parameter 'a' is bound at time 'index'");
  expect_violation(with_param({.name = "a", .default_value = Scalar::of_float(1)}),
                   "the default of parameter 'a' is float, not int");
  expect_violation(with_param({.name = "a", .type = Type::Float, .default_share = Share{0.5}}),
                   "parameter 'a' cannot have a share as its default");
  expect_violation(
      with_param({.name = "a", .time = BindingTime::Runtime, .default_share = Share{0.5}}),
      "parameter 'a' cannot have a share as its default");

  Function scalar = good();
  scalar.add_tensor({"u", Element::I32, {}});
  expect_violation(scalar, "tensor 'u' has 0 dimensions");
  Function deep = good();
  deep.add_tensor({"u", Element::I32, std::vector<Dim>(5, Dim{Dim::Kind::KvLen})});
  expect_violation(deep, "tensor 'u' has 5 dimensions");
  Function empty = good();
  empty.add_tensor({"u", Element::I32, {{Dim::Kind::Constant, 0}}});
  expect_violation(empty, "tensor 'u' has a dimension of 0");
  Function unnamed = good();
  unnamed.set_name("a b");
  expect_violation(unnamed, "'a b' is not a name for a function");
}

TEST(Verify, RejectsBrokenResults) {
  Function twice = good();
  twice.add_result("mask", Value{0});
  twice.add_result("mask", Value{1});
  expect_violation(twice, "two results are called 'mask'");
  Function missing = good();
  missing.add_result("mask", Value{});
  expect_violation(missing, "result 'mask' has no value");
  Function unnamed = good();
  unnamed.add_result("%", Value{0});
  expect_violation(unnamed, "'%' is not a name for a result");
}

TEST(Verify, ReportsEveryViolation) {
  Function f = good();
  f.append_unchecked(node(Op::Lt, Type::Int, {Value{0}, Value{1}}));
  f.append_unchecked(node(Op::Exp, Type::Float, {Value{0}}));
  f.add_result("mask", Value{77});
  EXPECT_EQ(verify(f).size(), 3u);
}

}  // namespace
}  // namespace maskjit::ir
