// Every declaration of the standard library against a C++ function, element by element.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <set>

#include "masker_dsl/check/modules.h"
#include "tests/frontend/evaluate.h"

namespace maskjit {
namespace {

using testing::Element;
using testing::Evaluation;
using testing::for_each_element;
using testing::Shape;
using testing::TensorArgument;

int64_t floor_div(int64_t a, int64_t b) {
  return static_cast<int64_t>(std::floor(static_cast<double>(a) / static_cast<double>(b)));
}

const std::vector<Shape> kShapes = {
    {}, {1, 2, 1, 7, 7, 32}, {1, 1, 1, 1, 17, 8}, {2, 2, 2, 11, 5, 8}};

void expect_mask(const std::string& entry, const Evaluation::Values& values,
                 const std::function<bool(const Element&)>& expected) {
  for (const Shape& shape : kShapes) {
    Evaluation evaluation("", entry, values);
    for_each_element(shape, [&](const Element& e) {
      ASSERT_EQ(evaluation("mask", e).integer != 0, expected(e))
          << entry << " q " << e.q << " k " << e.k << " of " << shape.kv_len;
    });
  }
}

TEST(Library, Masks) {
  expect_mask("full", {}, [](const Element&) { return true; });
  expect_mask("none", {}, [](const Element&) { return false; });
  expect_mask("causal", {}, [](const Element& e) { return e.k <= e.q; });
  for (int64_t n : {-1, 0, 1, 3, 100}) {
    const std::string text = std::to_string(n);
    expect_mask("local", {{"n", text}},
                [n](const Element& e) { return e.q - n < e.k && e.k <= e.q; });
    expect_mask("sink", {{"n", text}}, [n](const Element& e) { return e.k < n; });
    expect_mask("prefix", {{"len", text}}, [n](const Element& e) { return e.k < n; });
    expect_mask("window", {{"left", text}, {"right", "2"}},
                [n](const Element& e) { return e.q - n <= e.k && e.k <= e.q + 2; });
  }
  for (int64_t n : {1, 2, 5}) {
    const std::string text = std::to_string(n);
    expect_mask("strided", {{"n", text}},
                [n](const Element& e) { return std::abs(e.q - e.k) % n == 0; });
    expect_mask("block_diagonal", {{"size", text}},
                [n](const Element& e) { return floor_div(e.q, n) == floor_div(e.k, n); });
    for (int64_t step : {1, 2, 3}) {
      expect_mask("dilated", {{"n", text}, {"step", std::to_string(step)}}, [=](const Element& e) {
        for (int64_t i = 0; i < n; ++i) {
          if (e.k == e.q - i * step) return true;
        }
        return false;
      });
    }
  }
}

TEST(Library, SharesOfTheKeys) {
  for (const double percent : {0.0, 7.0, 10.0, 29.0, 30.0, 57.0, 100.0}) {
    const std::string text = std::to_string(static_cast<int>(percent)) + "%";
    const auto count = [=](const Element& e) {
      return static_cast<int64_t>(std::floor(percent / 100 * static_cast<double>(e.shape.kv_len)));
    };
    expect_mask("local", {{"n", text}},
                [=](const Element& e) { return e.q - count(e) < e.k && e.k <= e.q; });
    expect_mask("sink", {{"n", text}}, [=](const Element& e) { return e.k < count(e); });
  }
}

std::vector<double> random_values(size_t count, int lo, int hi) {
  std::mt19937 generator(7);
  std::vector<double> values(count);
  for (double& value : values) value = std::uniform_int_distribution<int>(lo, hi)(generator);
  return values;
}

TEST(Library, TensorMasks) {
  const Shape shape;
  const auto ids = random_values(static_cast<size_t>(shape.batches * shape.kv_len), 0, 2);
  Evaluation document("", "document", {}, {{"id", {{shape.batches, shape.kv_len}, ids}}});
  Evaluation shared("", "document", {},
                    {{"id", {{1, shape.kv_len}, {ids.begin(), ids.begin() + shape.kv_len}}}});
  const std::vector<double> lengths = {5, 11};
  Evaluation padding("", "padding", {}, {{"len", {{shape.batches}, lengths}}});
  const auto flags = random_values(static_cast<size_t>(shape.kv_len), 0, 1);
  Evaluation global("", "global", {}, {{"flag", {{shape.kv_len}, flags}}});
  const auto allowed = random_values(
      static_cast<size_t>(shape.batches * shape.heads * shape.q_len * shape.kv_len), 0, 1);
  Evaluation table(
      "", "table", {},
      {{"allowed", {{shape.batches, shape.heads, shape.q_len, shape.kv_len}, allowed}}});
  Evaluation explicit_mask(
      "", "explicit", {},
      {{"m", {{shape.batches, shape.heads, shape.q_len, shape.kv_len}, allowed}}});
  for_each_element(shape, [&](const Element& e) {
    const auto id = [&](int64_t batch, int64_t i) {
      return ids[static_cast<size_t>(batch * shape.kv_len + i)];
    };
    EXPECT_EQ(document("mask", e).integer != 0, id(e.batch, e.q) == id(e.batch, e.k));
    EXPECT_EQ(shared("mask", e).integer != 0, id(0, e.q) == id(0, e.k));
    EXPECT_EQ(padding("mask", e).integer != 0,
              static_cast<double>(e.k) < lengths[static_cast<size_t>(e.batch)]);
    EXPECT_EQ(global("mask", e).integer != 0,
              flags[static_cast<size_t>(e.q)] != 0 || flags[static_cast<size_t>(e.k)] != 0);
    const int64_t index =
        ((e.batch * shape.heads + e.head) * shape.q_len + e.q_index) * shape.kv_len + e.k;
    EXPECT_EQ(table("mask", e).integer != 0, allowed[static_cast<size_t>(index)] != 0);
    EXPECT_EQ(explicit_mask("mask", e).integer != 0, allowed[static_cast<size_t>(index)] != 0);
  });
}

void expect_score(const std::string& clause, const std::string& params,
                  const std::map<std::string, TensorArgument>& tensors,
                  const std::function<double(const Element&, double)>& expected) {
  Evaluation evaluation("attention main" + params + " { score " + clause + " }", {}, {}, tensors);
  for_each_element(Shape(), [&](const Element& e) {
    for (const double s : {-60.0, -0.5, 0.0, 3.25, 1000.0}) {
      ASSERT_NEAR(evaluation("score", e, s).real, expected(e, s), 1e-12 * (1 + std::abs(s)))
          << clause;
    }
  });
}

TEST(Library, Scores) {
  const Shape shape;
  expect_score("softcap(s, 30.0)", "", {},
               [](const Element&, double s) { return 30 * std::tanh(s / 30); });
  expect_score("alibi(s)", "", {}, [](const Element& e, double s) {
    const double slope =
        std::pow(2.0, -8.0 * static_cast<double>(e.head + 1) / static_cast<double>(e.shape.heads));
    return s + slope * static_cast<double>(e.k - e.q);
  });
  expect_score("relative(s)", "", {},
               [](const Element& e, double s) { return s + static_cast<double>(e.q - e.k); });
  expect_score("scaled(s, 0.125)", "", {}, [](const Element&, double s) { return s * 0.125; });
  const auto distances = random_values(static_cast<size_t>(shape.heads * shape.kv_len), -9, 9);
  expect_score("relative_bias(s, t)", "(t: tensor<f32>[num_heads, kv_len])",
               {{"t", {{shape.heads, shape.kv_len}, distances}}}, [&](const Element& e, double s) {
                 return s +
                        distances[static_cast<size_t>(e.head * shape.kv_len + std::abs(e.q - e.k))];
               });
  const auto graph = random_values(static_cast<size_t>(shape.kv_len * shape.kv_len), -9, 9);
  expect_score("graph_bias(s, t)", "(t: tensor<f32>[kv_len, kv_len])",
               {{"t", {{shape.kv_len, shape.kv_len}, graph}}}, [&](const Element& e, double s) {
                 return s + graph[static_cast<size_t>(e.q * shape.kv_len + e.k)];
               });
  const auto all =
      random_values(static_cast<size_t>(shape.heads * shape.q_len * shape.kv_len), -9, 9);
  expect_score(
      "bias(s, t)", "(t: tensor<f32>[batch, num_heads, q_len, kv_len])",
      {{"t", {{1, shape.heads, shape.q_len, shape.kv_len}, all}}}, [&](const Element& e, double s) {
        return s +
               all[static_cast<size_t>((e.head * shape.q_len + e.q_index) * shape.kv_len + e.k)];
      });
}

TEST(Library, EveryDeclarationIsDocumentedAndTested) {
  // The names that the tests above evaluate.
  const std::set<std::string_view> tested = {
      "full",          "none",           "causal",   "local",    "sink",    "window",
      "strided",       "dilated",        "prefix",   "document", "padding", "global",
      "table",         "block_diagonal", "explicit", "softcap",  "alibi",   "relative",
      "relative_bias", "graph_bias",     "bias",     "scaled"};
  for (const auto& [name, callable] : check::standard_library().scope) {
    EXPECT_TRUE(tested.contains(name)) << name;
    EXPECT_FALSE(callable->declaration->documentation.empty()) << name;
  }
  EXPECT_EQ(tested.size(), check::standard_library().scope.size());
}

// As a file of a user's own the library has no errors and only hides itself.
TEST(Library, PassesTheChecks) {
  for (const auto& file : check::standard_library().files) {
    const driver::CheckedSource checked =
        driver::check("copy.masker", std::string(file->text()), "causal");
    for (const diag::Diagnostic& diagnostic : checked.diagnostics.diagnostics()) {
      EXPECT_EQ(diagnostic.kind, diag::Kind::ShadowsLibrary) << diag::render(diagnostic);
    }
    EXPECT_TRUE(checked.program);
  }
}

}  // namespace
}  // namespace maskjit
