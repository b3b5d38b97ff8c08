// Each pass and the pipeline on random functions: values are preserved, the result is well formed,
// and a second run changes nothing.
#include "masker_dsl/passes/passes.h"

#include <bit>
#include <cmath>
#include <cstdlib>

#include "masker_dsl/interp/interpreter.h"
#include "masker_dsl/ir/text.h"
#include "masker_dsl/passes/fold.h"
#include "masker_dsl/passes/narrow.h"
#include "masker_dsl/passes/separate.h"
#include "masker_dsl/passes/simplify.h"
#include "tests/ir/random_function.h"

namespace maskjit {
namespace {

struct Named {
  const char* name;
  ir::Function (*run)(const ir::Function&);
};

ir::Function whole_pipeline(const ir::Function& function) { return passes::run_pipeline(function); }
ir::Function compacted(const ir::Function& function) { return ir::compact(function, false); }

const std::vector<Named>& all_passes() {
  static const std::vector<Named> list = {
      {"compact", compacted},     {"fold", passes::fold},         {"simplify", passes::simplify},
      {"narrow", passes::narrow}, {"separate", passes::separate}, {"pipeline", whole_pipeline}};
  return list;
}

bool same_value(const ir::Scalar& a, const ir::Scalar& b) {
  if (a.type != b.type || a.integer != b.integer) return false;
  if (std::isnan(a.real) && std::isnan(b.real)) return true;
  return std::bit_cast<uint64_t>(a.real) == std::bit_cast<uint64_t>(b.real);
}

std::string describe(const ir::Scalar& scalar) {
  return scalar.type == ir::Type::Float ? fmt::format("{}", scalar.real)
                                        : fmt::format("{}", scalar.integer);
}

std::string describe(const ir::Function& function, const interp::Environment& environment) {
  std::string text;
  for (int i = 0; i < ir::kNumVars; ++i) {
    text += fmt::format(" {}={}", ir::name_of(static_cast<ir::Var>(i)),
                        environment.vars[static_cast<size_t>(i)]);
  }
  text += fmt::format(" score={}", environment.score);
  for (size_t i = 0; i < environment.params.size(); ++i) {
    text += fmt::format(" {}={}", function.params()[i].name, describe(environment.params[i]));
  }
  return text;
}

// Seeds come from here; MASKJIT_SEED and MASKJIT_ROUNDS repeat or extend a run.
uint64_t setting(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : fallback;
}

void check_values(const ir::Function& before, const ir::Function& after,
                  random::Generator& generator, const char* pass) {
  ASSERT_EQ(before.results().size(), after.results().size());
  for (size_t r = 0; r < before.results().size(); ++r) {
    interp::Evaluator old_value(before, before.results()[r].value);
    interp::Evaluator new_value(after, after.results()[r].value);
    for (int i = 0; i < 12; ++i) {
      const random::Environment environment = random::environment(generator, before);
      const ir::Scalar expected = old_value(environment.values);
      const ir::Scalar actual = new_value(environment.values);
      ASSERT_TRUE(same_value(expected, actual))
          << pass << " changes " << before.results()[r].name << " from " << describe(expected)
          << " to " << describe(actual) << " in\n"
          << ir::print(before) << "to\n"
          << ir::print(after) << "at" << describe(before, environment.values);
    }
  }
}

class RandomPasses : public testing::TestWithParam<Named> {};

void check_pass(const Named& pass, uint64_t seed, const random::FunctionOptions& options) {
  SCOPED_TRACE(fmt::format("MASKJIT_SEED={}", seed));
  random::Generator generator(seed);
  const ir::Function before = random::function(generator, options);
  ASSERT_THAT(ir::verify(before), testing::IsEmpty()) << ir::print(before);
  const ir::Function after = pass.run(before);
  ASSERT_THAT(ir::verify(after), testing::IsEmpty()) << ir::print(after);
  check_values(before, after, generator, pass.name);
  if (testing::Test::HasFatalFailure()) return;
  const ir::Function again = pass.run(after);
  ASSERT_EQ(ir::print(after), ir::print(again)) << "from\n" << ir::print(before);
}

TEST_P(RandomPasses, AreRightOnLargeFunctions) {
  const uint64_t first = setting("MASKJIT_SEED", 1);
  const uint64_t rounds = setting("MASKJIT_ROUNDS", 500);
  for (uint64_t seed = first; seed < first + rounds && !HasFatalFailure(); ++seed) {
    random::FunctionOptions options;
    options.nodes = 4 + static_cast<int>(seed % 40);
    options.tile = seed % 5 == 0;
    options.floats = seed % 3 != 0;
    check_pass(GetParam(), seed, options);
  }
}

// A few ops on a few leaves: where rules match most often.
TEST_P(RandomPasses, AreRightOnSmallFunctions) {
  const uint64_t first = setting("MASKJIT_SEED", 1);
  const uint64_t rounds = setting("MASKJIT_ROUNDS", 500) * 8;
  for (uint64_t seed = first; seed < first + rounds && !HasFatalFailure(); ++seed) {
    random::FunctionOptions options;
    options.small = true;
    options.tensors = seed % 4 == 0;
    options.params = seed % 4 < 2;
    options.nodes = 2 + static_cast<int>(seed % 7);
    options.tile = seed % 11 == 0;
    check_pass(GetParam(), seed, options);
  }
}

INSTANTIATE_TEST_SUITE_P(Each, RandomPasses, testing::ValuesIn(all_passes()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Pipeline, StopsAtTheLimit) {
  random::Generator generator(7);
  const ir::Function function = random::function(generator);
  EXPECT_EQ(ir::print(passes::run_pipeline(function, 0)), ir::print(ir::compact(function, false)));
  EXPECT_EQ(ir::print(passes::run_pipeline(function, 1)),
            ir::print(passes::pipeline()[0].run(ir::compact(function, false))));
  ir::Function step = ir::compact(function, false);
  for (int limit = 1; limit <= 5; ++limit) {
    step = passes::pipeline()[static_cast<size_t>(limit - 1)].run(step);
    EXPECT_EQ(ir::print(passes::run_pipeline(function, limit)), ir::print(step));
  }
  EXPECT_EQ(ir::print(passes::run_pipeline(function, 1000)), ir::print(whole_pipeline(function)));
}

TEST(Pipeline, NamesItsPasses) {
  std::vector<std::string> names;
  for (const passes::PassInfo& pass : passes::pipeline()) names.push_back(pass.name);
  EXPECT_THAT(names, testing::ElementsAre("fold", "simplify", "narrow", "separate", "simplify"));
}

// Sums that share their halves have exponentially many terms.
TEST(Pipeline, EndsOnSharedSums) {
  ir::Function function;
  ir::Value sum = function.variable(ir::Var::Key);
  for (int i = 0; i < 30; ++i) sum = function.binary(ir::Op::Add, sum, sum);
  ir::Value condition = function.binary(ir::Op::Lt, sum, function.variable(ir::Var::Query));
  for (int i = 0; i < 40; ++i) {
    const ir::Value other = function.unary(ir::Op::Not, condition);
    condition = function.binary(i % 2 == 0 ? ir::Op::And : ir::Op::Or,
                                function.binary(ir::Op::Xor, condition, other), other);
  }
  function.add_result("mask", condition);
  EXPECT_THAT(ir::verify(passes::run_pipeline(function)), testing::IsEmpty());
}

TEST(BindConstants, ReplacesValuesAndShares) {
  ir::Function function;
  const uint32_t window = function.add_param({.name = "window"});
  const uint32_t sinks = function.add_param({.name = "sinks"});
  const uint32_t kept = function.add_param({.name = "kept"});
  ir::Value total =
      function.binary(ir::Op::Add, function.parameter(window), function.parameter(sinks));
  total = function.binary(ir::Op::Sub, total, function.parameter(kept));
  function.add_result("value", total);

  const ir::Function bound = passes::bind_constants(
      function, {passes::Binding(ir::Scalar::of_int(5)), passes::Binding(ir::Share{0.1})});
  EXPECT_EQ(ir::print(bound),
            "func @main(const %window: int, const %sinks: int, const %kept: int) {\n"
            "  %0 = const 5 : int\n"
            "  %1 = var kv_len : int\n"
            "  %2 = share 0.1, %1 : int\n"
            "  %3 = add %0, %2 : int\n"
            "  %4 = param %kept : int\n"
            "  %5 = sub %3, %4 : int\n"
            "  result value = %5 : int\n"
            "}\n");
  interp::Environment environment;
  environment[ir::Var::KvLen] = 1009;
  environment.params.assign(3, ir::Scalar::of_int(1));
  EXPECT_EQ(interp::Evaluator(bound, bound.result("value"))(environment), ir::Scalar::of_int(104));
  EXPECT_EQ(ir::compact(bound, true).params().size(), 1u);
}

}  // namespace
}  // namespace maskjit
