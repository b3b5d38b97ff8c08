// From source to Program: what programs contain, and what their expressions evaluate to.
#include <gtest/gtest.h>

#include <cmath>

#include "masker_dsl/ir/text.h"
#include "tests/frontend/evaluate.h"

namespace maskjit {
namespace {

using testing::check_program;
using testing::Element;
using testing::Evaluation;
using testing::for_each_element;
using testing::Shape;

int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

void expect_mask(const std::string& expression,
                 const std::function<bool(const Element&)>& expected) {
  Evaluation evaluation("masker m() = " + expression);
  for_each_element(Shape(), [&](const Element& e) {
    ASSERT_EQ(evaluation("mask", e).integer != 0, expected(e))
        << expression << " at q " << e.q << " k " << e.k;
  });
}

TEST(Program, Expressions) {
  expect_mask("causal() & k < 5 | q == k",
              [](const Element& e) { return (e.k <= e.q && e.k < 5) || e.q == e.k; });
  expect_mask("causal() - sink(3)", [](const Element& e) { return e.k <= e.q && e.k >= 3; });
  expect_mask("!causal() ^ local(2)",
              [](const Element& e) { return (e.k > e.q) != (e.q - 2 < e.k && e.k <= e.q); });
  expect_mask("(k - q) // 3 == (q - k) % 4 - 3", [](const Element& e) {
    return floor_div(e.k - e.q, 3) == (e.q - e.k) - 4 * floor_div(e.q - e.k, 4) - 3;
  });
  expect_mask("(((q ^ k) & 5) == 0) == false",
              [](const Element& e) { return ((e.q ^ e.k) & 5) != 0; });
  expect_mask("~q + 1 == -q & q << 2 == 4 * q & -5 >> 1 == -3",
              [](const Element&) { return true; });
  expect_mask("q / 2 > k", [](const Element& e) {
    return static_cast<double>(e.q) / 2 > static_cast<double>(e.k);
  });
  expect_mask("floor(q / 2 - 0.25) == k", [](const Element& e) {
    return std::floor(static_cast<double>(e.q) / 2 - 0.25) == static_cast<double>(e.k);
  });
  expect_mask("q > k ? head == 1 : batch == 0 & kv_head == 1", [](const Element& e) {
    return e.q > e.k ? e.head == 1 : e.batch == 0 && e.kv_head == 1;
  });
  expect_mask("q_index == q - (kv_len - q_len)", [](const Element&) { return true; });
  expect_mask("q_index == k", [](const Element& e) { return e.q_index == e.k; });
  expect_mask("max(q, k, 4) - min(q, k, 4) < abs(q - k) + 2", [](const Element& e) {
    return std::max({e.q, e.k, int64_t{4}}) - std::min({e.q, e.k, int64_t{4}}) <
           std::abs(e.q - e.k) + 2;
  });
  expect_mask("num_heads == 4 & num_kv_heads == 2 & head_dim == 64 & kv_len == 13 & q_len == 9",
              [](const Element&) { return true; });
  expect_mask("exp(log(q + 1.0)) > sqrt(k * k) - 0.5",
              [](const Element& e) { return e.q + 1 >= e.k; });
  expect_mask("causal() == (k <= q)", [](const Element&) { return true; });
}

TEST(Program, LetsDefaultsAndNamedArguments) {
  Evaluation evaluation(R"(
masker band(left: int = 1 + 1, right: int = -1) {
    let first = q - left
    let last = q + right
    return first <= k & k <= last
}
attention main(width: int = 3) { mask band(right = width) | band() }
)");
  for_each_element(Shape(), [&](const Element& e) {
    const auto band = [&](int64_t right) { return e.q - 2 <= e.k && e.k <= e.q + right; };
    EXPECT_EQ(evaluation("mask", e).integer != 0, band(3) || band(-1));
  });
}

TEST(Program, ScoresApplyInOrder) {
  Evaluation evaluation(R"(
score plus(s, n: float) = s + n
score twice(s) { let t = s  return t + t }
attention main(runtime bias: float = 0.5, n: int = 3) {
    score plus(s, n)
    score twice(plus(s, n = bias))
    score causal() ? s : 0
}
)");
  for_each_element(Shape(), [&](const Element& e) {
    EXPECT_EQ(evaluation("score", e, 1.25).real, e.k <= e.q ? 2 * (1.25 + 3 + 0.5) : 0.0);
    EXPECT_EQ(evaluation("mask", e).integer, 1);
  });
}

TEST(Program, BindingTimes) {
  const std::string text =
      "attention main(n: int = 10%, runtime m: int = 4, w: float, doc: tensor<i32>[batch, kv_len]) "
      "{\n"
      "  mask local(n) | sink(m) | document(doc) | prefix(doc[batch, 0])\n  score s * w\n}\n";
  const ir::Program program = check_program(text);
  ASSERT_EQ(program.function.params().size(), 3u);
  EXPECT_EQ(program.function.params()[0].time, ir::BindingTime::Const);
  EXPECT_EQ(program.function.params()[0].default_share->share, 0.1);
  EXPECT_EQ(program.function.params()[1].time, ir::BindingTime::Runtime);
  EXPECT_EQ(program.function.params()[1].default_value, ir::Scalar::of_int(4));
  EXPECT_FALSE(program.function.params()[2].default_value);
  EXPECT_EQ(program.function.tensors().size(), 1u);

  diag::DiagnosticEmitter diagnostics;
  const auto bound = driver::bind(
      program, {{"w", ir::Scalar::of_int(2)}, {"m", ir::Scalar::of_int(7)}}, diagnostics);
  ASSERT_TRUE(bound) << diag::render_all(diagnostics);
  ASSERT_EQ(bound->program.function.params().size(), 1u) << "only the run-time parameter stays";
  EXPECT_EQ(bound->program.function.params()[0].name, "m");
  EXPECT_TRUE(ir::verify(bound->program.function).empty());
}

TEST(Program, Sequences) {
  const ir::Program program = check_program(
      "masker stages(n: int) = sink(n) then local(8) then top_k(5%, by = page_bound(16, min_pages "
      "= 1))\n"
      "attention main(pages: int = 4, mlp: tensor<f32>[num_heads, head_dim, 32]) {\n"
      "  mask causal() & prefix(100) & (stages(4) then top_k(pages, by = hash_bits(mlp, key_mlp = "
      "mlp, bits = 32, activation = tanh)) then adaptive(base = 5%, epsilon = 0.25, delta = "
      "0.5))\n}\n");
  using Rule = ir::Stage::Rule;
  ASSERT_EQ(program.stages.size(), 5u);
  EXPECT_EQ(program.stages[0].rule, Rule::Static);
  EXPECT_EQ(program.stages[1].rule, Rule::Static);
  const ir::Stage& paged = program.stages[2];
  EXPECT_EQ(paged.rule, Rule::TopK);
  EXPECT_EQ(paged.scorer, "page_bound");
  EXPECT_EQ(program.function[paged.arguments[0].value].op, ir::Op::Share);
  ASSERT_EQ(paged.scorer_arguments.size(), 3u);
  EXPECT_EQ(program.function[paged.scorer_arguments[0].value].constant.integer, 16);
  EXPECT_EQ(program.function[paged.scorer_arguments[1].value].constant.integer, 16)
      << "bits by default";
  EXPECT_EQ(program.function[paged.scorer_arguments[2].value].constant.integer, 1);
  const ir::Stage& hashed = program.stages[3];
  EXPECT_EQ(hashed.scorer_arguments[0].tensor, 0u);
  EXPECT_EQ(hashed.scorer_arguments[1].tensor, 0u);
  ASSERT_EQ(hashed.scorer_arguments.size(), 6u);
  for (const auto& [i, value] : {std::pair{2, 32}, {3, 3}, {4, 128}, {5, 3}}) {
    const auto& argument = hashed.scorer_arguments[static_cast<size_t>(i)];
    EXPECT_EQ(program.function[argument.value].constant.integer, value) << argument.name;
  }
  const ir::Stage& adaptive = program.stages[4];
  EXPECT_EQ(adaptive.rule, Rule::Adaptive);
  EXPECT_EQ(program.function[adaptive.arguments[0].value].constant, ir::Scalar::of_float(0.05));

  // Binding renumbers the nodes that the stages name.
  diag::DiagnosticEmitter diagnostics;
  const auto bound = driver::bind(program, {{"pages", ir::Scalar::of_int(9)}}, diagnostics);
  ASSERT_TRUE(bound) << diag::render_all(diagnostics);
  EXPECT_EQ(bound->program.function.results().size(), 2u);
  ASSERT_EQ(bound->program.stages.size(), 4u) << "static stages side by side become one";
  const ir::Stage& after = bound->program.stages[2];
  EXPECT_EQ(bound->program.function[after.arguments[0].value].constant, ir::Scalar::of_int(9));
  EXPECT_EQ(after.scorer_arguments[0].tensor, 0u);
  interp::Environment environment;
  environment.tensors.resize(1);
  interp::Evaluator stage(bound->program.function, bound->program.stages[0].mask);
  environment[ir::Var::Query] = 20;
  for (const auto& [k, selected] : {std::pair{3, 1}, {4, 0}, {12, 0}, {13, 1}}) {
    environment[ir::Var::Key] = k;
    EXPECT_EQ(stage(environment).integer, selected) << k;
  }
}

TEST(Program, SequencesWithoutSelectorsAreStatic) {
  Evaluation evaluation("attention main { mask causal() & (sink(2) then local(3) then (q == 7)) }");
  EXPECT_TRUE(evaluation.program().stages.empty());
  for_each_element(Shape(), [&](const Element& e) {
    EXPECT_EQ(evaluation("mask", e).integer != 0,
              e.k <= e.q && (e.k < 2 || e.q - 3 < e.k || e.q == 7));
  });
}

TEST(Program, Dropout) {
  const ir::Program program =
      check_program("attention main(runtime p: float = 0.1) { dropout p / 2 renormalise }");
  ASSERT_TRUE(program.dropout);
  EXPECT_TRUE(program.dropout->renormalise);
  EXPECT_EQ(program.function.binding_time(program.dropout->probability), ir::BindingTime::Runtime);
  EXPECT_FALSE(check_program("attention main { mask causal() }").dropout);
}

TEST(Program, Entries) {
  const std::string text =
      "masker a() = causal()\nmasker b(n: int) = local(n)\nattention c { mask a() }\n";
  EXPECT_EQ(check_program(text).name, "c");
  EXPECT_EQ(check_program(text, "b").name, "b");
  EXPECT_EQ(check_program(text, "b").function.params().size(), 1u);
  EXPECT_EQ(check_program(text, "dilated").name, "dilated");
  EXPECT_EQ(check_program("", "causal").name, "causal");
}

TEST(Program, Imports) {
  const std::map<std::string, std::string> files = {
      {"lib/a.masker", "import \"../b.masker\"\nmasker a(n: int = 2) = b(n)\n"},
      {"b.masker", "masker b(n: int) = k < n\n"},
  };
  const auto reader = [&](const std::string& path) -> std::optional<std::string> {
    const auto found = files.find(path);
    return found == files.end() ? std::nullopt : std::optional(found->second);
  };
  const auto checked = driver::check(
      "main.masker", "import \"lib/a.masker\"\nattention main { mask a() }\n", {}, reader);
  EXPECT_TRUE(checked.program) << diag::render_all(checked.diagnostics);
  ASSERT_EQ(checked.files.size(), 3u);
  EXPECT_EQ(checked.files[0]->name(), "main.masker");
  // What an imported file imports stays its own.
  const auto hidden = driver::check(
      "main.masker", "import \"lib/a.masker\"\nattention main { mask b(1) & a() }\n", {}, reader);
  ASSERT_EQ(hidden.diagnostics.error_count(), 1);
  EXPECT_EQ(hidden.diagnostics.diagnostics()[0].kind, diag::Kind::UnknownMasker);
}

// Renaming does not change the IR: it is what cache keys are made of.
TEST(Program, InliningGivesOneForm) {
  const ir::Program inlined =
      check_program("attention main { mask k <= q & (k < 4 | q - 8 < k & k <= q) }");
  const ir::Program composed = check_program(
      "masker sinks(count: int) { let n = count return k < n }\nattention main { mask causal() & "
      "(sinks(4) | local(n = 8)) }");
  EXPECT_TRUE(ir::equivalent(inlined.function, composed.function)) << ir::print(composed.function);
}

TEST(Program, ValuesAsWritten) {
  const auto value = [](std::string_view text) { return driver::parse_param_value(text); };
  EXPECT_EQ(std::get<ir::Scalar>(*value("12")), ir::Scalar::of_int(12));
  EXPECT_EQ(std::get<ir::Scalar>(*value("-3")), ir::Scalar::of_int(-3));
  EXPECT_EQ(std::get<ir::Scalar>(*value("-0.5")), ir::Scalar::of_float(-0.5));
  EXPECT_EQ(std::get<ir::Scalar>(*value("true")), ir::Scalar::of_bool(true));
  EXPECT_EQ(std::get<ir::Share>(*value("10%")).share, 0.1);
  for (const std::string_view wrong : {"", "-", "abc", "1 2", "1 ", " 1", "--1", "1e999", "10%%",
                                       "-10%", "1 # c", "99999999999999999999", "0x"}) {
    EXPECT_FALSE(value(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace maskjit
