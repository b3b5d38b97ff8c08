// Hash-consing, canonical compaction, binding times.
#include "masker_dsl/ir/function.h"

#include "masker_dsl/ir/text.h"
#include "tests/ir/random_function.h"

namespace maskjit::ir {
namespace {

TEST(Function, EqualNodesAreOneNode) {
  Function f;
  const Value q = f.variable(Var::Query), k = f.variable(Var::Key);
  EXPECT_EQ(f.binary(Op::Add, q, k), f.binary(Op::Add, k, q));
  EXPECT_NE(f.binary(Op::Sub, q, k), f.binary(Op::Sub, k, q));
  EXPECT_EQ(f.constant_int(3), f.constant_int(3));
  EXPECT_NE(f.constant_int(1), f.constant_bool(true));
  EXPECT_NE(f.constant_float(0.0), f.constant_float(-0.0));
  EXPECT_EQ(f.constant_float(std::numeric_limits<double>::quiet_NaN()),
            f.constant_float(-std::numeric_limits<double>::quiet_NaN()));
  EXPECT_NE(f.share(0.5, k), f.share(0.25, k));
  EXPECT_EQ(f.share(0.5, k), f.share(0.5, k));
  EXPECT_THAT(f.duplicates(), testing::IsEmpty());
}

TEST(Function, ParametersAreFoundByName) {
  Function f;
  EXPECT_EQ(f.add_param({.name = "a", .type = Type::Float}), 0u);
  EXPECT_EQ(f.add_param({.name = "b"}), 1u);
  EXPECT_EQ(f.add_param({.name = "a", .type = Type::Float}), 0u);
  EXPECT_EQ(f.type(f.parameter(0)), Type::Float);
}

TEST(Function, BindingTimeIsTheLatestOfTheOperands) {
  Function f;
  const uint32_t constant = f.add_param({.name = "c"});
  const uint32_t runtime = f.add_param({.name = "r", .time = BindingTime::Runtime});
  const uint32_t tensor = f.add_tensor({"t", Element::I32, {{Dim::Kind::KvLen}}});
  const Value c = f.parameter(constant), r = f.parameter(runtime);
  EXPECT_EQ(f.binding_time(f.binary(Op::Add, c, f.constant_int(1))), BindingTime::Const);
  EXPECT_EQ(f.binding_time(f.binary(Op::Add, c, r)), BindingTime::Runtime);
  EXPECT_EQ(f.binding_time(f.variable(Var::KvLen)), BindingTime::Runtime);
  const Value load[] = {c};
  EXPECT_EQ(f.binding_time(f.tensor_op(Op::TensorLoad, tensor, load)), BindingTime::Tensor);
  const Value k = f.variable(Var::Key);
  const Value by_key[] = {k};
  EXPECT_EQ(f.binding_time(f.tensor_op(Op::TensorLoad, tensor, by_key)), BindingTime::Index);
  EXPECT_EQ(f.variables_of(f.binary(Op::Sub, f.variable(Var::Query), k)),
            bit(Var::Query) | bit(Var::Key));
  EXPECT_EQ(f.variables_of(c), 0u);
}

TEST(FunctionDeathTest, WrongOperandsAreInternalErrors) {
  Function f;
  const Value b = f.constant_bool(true), i = f.constant_int(1);
  EXPECT_DEATH(f.binary(Op::Add, b, i), "add is not defined on \\(bool, int\\)");
  EXPECT_DEATH(f.unary(Op::Not, Value{77}), "not a value of this function");
  EXPECT_DEATH(f.parameter(0), "no such parameter");
  f.add_param({.name = "a"});
  EXPECT_DEATH(f.add_param({.name = "a", .type = Type::Bool}), "two different parameters");
}

// The same mask, built in two orders.
TEST(Compact, DoesNotDependOnTheBuildOrder) {
  Function a("f");
  {
    const Value q = a.variable(Var::Query), k = a.variable(Var::Key);
    const Value causal = a.binary(Op::Le, k, q);
    const Value near = a.binary(Op::Lt, a.binary(Op::Sub, q, k), a.constant_int(8));
    a.add_result("mask", a.binary(Op::And, causal, near));
  }
  Function b("f");
  {
    b.variable(Var::Head);
    const Value eight = b.constant_int(8), k = b.variable(Var::Key), q = b.variable(Var::Query);
    const Value near = b.binary(Op::Lt, b.binary(Op::Sub, q, k), eight);
    b.add_result("mask", b.binary(Op::And, near, b.binary(Op::Le, k, q)));
  }
  EXPECT_NE(print(a), print(b));
  EXPECT_EQ(print(compact(a, false)), print(compact(b, false)));
  EXPECT_TRUE(equivalent(a, b));
}

// Copies a function with its nodes in another order: a random topological one.
Function shuffled(const Function& in, random::Generator& generator) {
  Function out(in.name());
  for (const Param& param : in.params()) out.add_param(param);
  for (const Tensor& tensor : in.tensors()) out.add_tensor(tensor);
  std::vector<Value> map(in.size());
  size_t left = in.size();
  while (left > 0) {
    const Value value{
        static_cast<uint32_t>(random::below(generator, static_cast<int64_t>(in.size())))};
    if (map[value.id].valid()) continue;
    std::vector<Value> operands;
    bool ready = true;
    for (Value operand : in[value].operands) {
      ready = ready && map[operand.id].valid();
      operands.push_back(map[operand.id]);
    }
    if (!ready) continue;
    map[value.id] = out.rebuild(in[value], operands);
    --left;
  }
  for (const Result& result : in.results()) out.add_result(result.name, map[result.value.id]);
  return out;
}

TEST(Compact, IsCanonicalOnRandomFunctions) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    random::Generator generator(seed);
    const Function function = random::function(generator);
    const Function once = compact(function, true);
    EXPECT_EQ(print(once), print(compact(once, true)));
    EXPECT_EQ(print(once), print(compact(shuffled(function, generator), true)));
    EXPECT_THAT(verify(once), testing::IsEmpty());
  }
}

TEST(Compact, DropsWhatIsUnused) {
  Function f;
  f.add_param({.name = "unused"});
  const uint32_t used = f.add_param({.name = "used"});
  f.add_tensor({"t", Element::I32, {{Dim::Kind::KvLen}}});
  f.variable(Var::Head);
  f.add_result("value", f.parameter(used));
  EXPECT_EQ(print(compact(f, true)),
            "func @main(const %used: int) {\n"
            "  %0 = param %used : int\n"
            "  result value = %0 : int\n"
            "}\n");
  const Function all = compact(f, false);
  EXPECT_EQ(all.params().size(), 2u);
  EXPECT_EQ(all.tensors().size(), 1u);
  EXPECT_EQ(all.size(), 1u);
}

TEST(Compact, TellsDifferentFunctionsApart) {
  Function a, b;
  a.add_result("mask", a.binary(Op::Lt, a.variable(Var::Key), a.variable(Var::Query)));
  b.add_result("mask", b.binary(Op::Lt, b.variable(Var::Query), b.variable(Var::Key)));
  EXPECT_FALSE(equivalent(a, b));
}

}  // namespace
}  // namespace maskjit::ir
