// Lowered hooks against the interpreter, value by value.
#include <cmath>
#include <cstdlib>

#include "masker_dsl/ir/text.h"
#include "masker_dsl/passes/passes.h"
#include "tests/codegen/probe.h"
#include "tests/ir/random_function.h"

namespace maskjit::codegen {
namespace {

using ir::Op;
using ir::Var;

analysis::TileFunctions trivial_tiles() {
  analysis::TileFunctions tiles;
  tiles.tile.add_result("may", tiles.tile.constant_bool(true));
  tiles.tile.add_result("must", tiles.tile.constant_bool(false));
  tiles.ranges.add_result("lo0", tiles.ranges.constant_int(0));
  tiles.ranges.add_result("hi0", tiles.ranges.constant_int(0));
  tiles.range_count = 1;
  return tiles;
}

uint64_t seed_from_environment(uint64_t otherwise) {
  const char* text = std::getenv("MASKJIT_SEED");
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// A random integer program: its mask on 64 keys at a time (the vectorised loop), and 20 bits of its
// value through the score.
void compare_random_program(uint64_t seed, const Target& target, int opt_level) {
  random::Generator generator(seed);
  random::FunctionOptions options;
  options.floats = false;
  ir::Function function = random::function(generator, options);
  std::vector<std::optional<passes::Binding>> bindings;
  for (const ir::Param& param : function.params()) {
    bindings.emplace_back();
    if (param.time == ir::BindingTime::Const)
      bindings.back() = random::random_argument(generator, param);
  }
  ir::Program program;
  program.function = passes::bind_constants(function, bindings);
  ir::Function& f = program.function;
  // The launch checks that make some subscripts safe do not hold here: every subscript is to be
  // checked.
  for (ir::Tensor& tensor : f.mutable_tensors()) {
    for (ir::Dim& dim : tensor.dims) dim = {ir::Dim::Kind::Constant, 0};
  }
  const int64_t shift = random::below(generator, 60);
  const ir::Value bits =
      f.binary(Op::And, f.binary(Op::Shr, f.result("value"), f.constant_int(shift)),
               f.constant_int(0xFFFFF));
  const ir::Value as_score = f.unary(Op::ToFloat, bits);
  for (ir::Result& result : f.mutable_results()) {
    if (result.name == "score") result.value = as_score;
  }
  SCOPED_TRACE(fmt::format("MASKJIT_SEED={}\n{}", seed, ir::print(f)));
  random::Environment environment = random::environment(generator, f);
  interp::Environment& at = environment.values;
  ProblemSpec problem;
  problem.head_dim = static_cast<int>(at[Var::HeadDim]);
  for (const interp::TensorValue& t : at.tensors) {
    TensorLayout layout;
    for (size_t d = 0; d < t.extents.size(); ++d)
      layout.broadcast |= static_cast<uint8_t>((t.extents[d] == 1) << d);
    problem.tensors.push_back(layout);
  }
  const Probe probe(program, trivial_tiles(), problem, target, opt_level);
  interp::Evaluator mask(f, f.result("mask"));
  interp::Evaluator score(f, f.result("score"));
  for (int64_t first_key : {at[Var::Key], int64_t{0}, int64_t{129}}) {
    first_key = std::min(first_key, ir::kMaxPosition - 64);
    at[Var::QueryLo] = at[Var::Query];
    at[Var::KeyLo] = first_key;
    const ProbeResult actual = probe.run(f, at);
    for (int j = 0; j < 64; ++j) {
      at[Var::Key] = first_key + j;
      ASSERT_EQ(actual.keep[j], mask(at).integer) << "key " << first_key + j;
    }
    at[Var::Key] = first_key;
    ASSERT_EQ(actual.score, score(at).real) << "shift " << shift;
  }
}

class RandomPrograms : public testing::TestWithParam<std::pair<std::string, int>> {};

TEST_P(RandomPrograms, EqualTheInterpreter) {
  const Target target = *Target::parse(GetParam().first);
  if (!Target::executable(target)) GTEST_SKIP() << "this CPU cannot execute " << target.print();
  const uint64_t first = seed_from_environment(GetParam().second == 0 ? 9000 : 100);
  for (uint64_t seed = first; seed < first + 120 && !HasFailure(); ++seed) {
    compare_random_program(seed, target, GetParam().second);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, RandomPrograms,
                         testing::Values(std::pair{"x86-64+avx2", 3}, std::pair{"x86-64+avx512", 3},
                                         std::pair{"x86-64", 0}),
                         [](const auto& info) {
                           std::string name =
                               info.param.first + "_O" + std::to_string(info.param.second);
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return c == '+' || c == '-'; }, '_');
                           return name;
                         });

// exp, log and tanh of the kernels, in units in the last place of the f64 result.
TEST(Math, ErrorsStayBelowTwoUnitsInTheLastPlace) {
  struct Case {
    Op op;
    double (*exact)(double);
    std::vector<std::pair<double, double>> intervals;
    double units;
  };
  const std::vector<Case> cases = {
      {Op::Exp, std::exp, {{-87, 88}, {-1, 1}, {-1e-6, 1e-6}}, 2},
      {Op::Log, std::log, {{1e-30, 1e-3}, {0.4, 2.5}, {0.99, 1.01}, {1, 1e30}}, 3},
      {Op::Tanh, std::tanh, {{-0.7, 0.7}, {-12, 12}, {-1e-4, 1e-4}}, 3},
      {Op::Sqrt, std::sqrt, {{0, 1e6}}, 1},
  };
  for (const Case& c : cases) {
    ir::Program program;
    ir::Function& f = program.function;
    f.add_result("mask", f.constant_bool(true));
    f.add_result("score", f.unary(c.op, f.variable(Var::Score)));
    const Probe probe(program, trivial_tiles(), ProblemSpec{}, Target::host(), 3);
    interp::Environment at;
    double worst = 0, worst_at = 0;
    for (const auto& [low, high] : c.intervals) {
      for (int i = 0; i <= 4000; ++i) {
        const float x = static_cast<float>(low + (high - low) * i / 4000);
        at.score = x;
        const double exact = c.exact(static_cast<double>(x));
        const float rounded = static_cast<float>(exact);
        const double unit = std::nextafter(std::fabs(rounded), INFINITY) - std::fabs(rounded);
        const double error = std::fabs(probe.run(f, at).score - exact) / unit;
        if (error > worst) worst = error, worst_at = x;
      }
    }
    EXPECT_LE(worst, c.units) << ir::info(c.op).name << " at " << worst_at;
  }
}

TEST(Math, SpecialValuesAreThoseOfTheStandardLibrary) {
  const float infinity = INFINITY;
  for (const auto& [op, exact] : std::vector<std::pair<Op, float (*)(float)>>{
           {Op::Exp, [](float x) { return std::exp(x); }},
           {Op::Log, [](float x) { return std::log(x); }},
           {Op::Tanh, [](float x) { return std::tanh(x); }}}) {
    ir::Program program;
    ir::Function& f = program.function;
    f.add_result("mask", f.constant_bool(true));
    f.add_result("score", f.unary(op, f.variable(Var::Score)));
    const Probe probe(program, trivial_tiles(), ProblemSpec{}, Target::host(), 3);
    interp::Environment at;
    for (float x : {0.0f, -0.0f, infinity, -infinity, NAN, 200.0f, -200.0f, 1.0f, -1.0f}) {
      at.score = x;
      const float expected = exact(x);
      const float actual = probe.run(f, at).score;
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(actual)) << ir::info(op).name << " of " << x << " gave " << actual;
      } else if (std::isinf(expected)) {
        EXPECT_EQ(actual, expected) << ir::info(op).name << " of " << x;
      } else {
        EXPECT_NEAR(actual, expected, 4e-7 * std::fabs(expected) + 1e-37)
            << ir::info(op).name << " of " << x;
      }
    }
  }
}

}  // namespace
}  // namespace maskjit::codegen
