// The weight that a mask expression gives its active entries, against the rules of check/weights.h
// applied to numbers.
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "tests/frontend/evaluate.h"

namespace maskjit {
namespace {

using testing::Element;
using testing::Evaluation;
using testing::for_each_element;
using testing::Shape;

// Two explicit masks, and what a term makes of their weights: 0 where it is inactive.
struct Values {
  double a, b;
  Element e;
};
using Rule = std::function<double(const Values&)>;

struct Term {
  std::string text;
  Rule weight;
};

Term leaf(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      return {"explicit(a)", [](const Values& v) { return v.a; }};
    case 1:
      return {"b[batch, head, q_index, k]", [](const Values& v) { return v.b; }};
    case 2:
      return {"causal()", [](const Values& v) { return v.e.k <= v.e.q ? 1.0 : 0.0; }};
    default:
      return {"(k % 3 != 1)", [](const Values& v) { return v.e.k % 3 != 1 ? 1.0 : 0.0; }};
  }
}

Term term(std::mt19937_64& random, int depth) {
  if (depth == 0) return leaf(random);
  const Term x = term(random, depth - 1), y = term(random, depth - 1);
  const Rule p = x.weight, q = y.weight;
  const auto both = [=](const Values& v) { return p(v) * q(v); };
  const auto one_only = [=](const Values& v) { return p(v) != 0 && q(v) != 0 ? 0.0 : p(v) + q(v); };
  switch (random() % 8) {
    case 0:
    case 1:
      return {"(" + x.text + " & " + y.text + ")", both};
    case 2:
    case 3:
      return {"(" + x.text + " | " + y.text + ")",
              [=](const Values& v) { return std::min(p(v) + q(v), 1.0); }};
    case 4:
      return {"!" + x.text, [=](const Values& v) { return p(v) != 0 ? 0.0 : 1.0; }};
    case 5:
      return {"(" + x.text + (random() % 2 == 0 ? " ^ " : " != ") + y.text + ")", one_only};
    case 6:
      return {"(" + x.text + " == " + y.text + ")",
              [=](const Values& v) { return p(v) == 0 && q(v) == 0 ? 1.0 : p(v) * q(v); }};
    default:
      return {"(k < q ? " + x.text + " : " + y.text + ")",
              [=](const Values& v) { return v.e.k < v.e.q ? p(v) : q(v); }};
  }
}

TEST(Weights, FollowTheRulesOnRandomMasks) {
  std::mt19937_64 random(99);
  const Shape shape{1, 2, 1, 5, 9, 8};
  const std::vector<int64_t> extents = {1, 2, 5, 9};
  for (int round = 0; round < 200; ++round) {
    const Term t = term(random, static_cast<int>(random() % 4));
    SCOPED_TRACE(t.text);
    std::vector<double> a(90), b(90);
    for (auto* values : {&a, &b}) {
      for (double& v : *values)
        v = random() % 3 == 0 ? 0 : static_cast<double>(random() % 8 + 1) / 8;
    }
    Evaluation evaluation(
        "attention main(a: tensor<bit>[batch, num_heads, q_len, kv_len],\n"
        "               b: tensor<bit>[batch, num_heads, q_len, kv_len]) { mask " +
            t.text + " }",
        {}, {}, {{"a", {extents, a}}, {"b", {extents, b}}});
    const bool reads_bits =
        t.text.find("explicit") != std::string::npos || t.text.find("b[") != std::string::npos;
    const bool weighted = evaluation.bound().function.result("weight").valid();
    if (!reads_bits) EXPECT_FALSE(weighted);
    for_each_element(shape, [&](const Element& e) {
      const auto index = static_cast<size_t>(((e.batch * 2 + e.head) * 5 + e.q_index) * 9 + e.k);
      const double expected = t.weight({a[index], b[index], e});
      ASSERT_EQ(evaluation("mask", e).integer != 0, expected != 0);
      if (expected != 0) ASSERT_EQ(weighted ? evaluation("weight", e).real : 1.0, expected);
    });
    if (HasFatalFailure()) return;
  }
}

TEST(Weights, OfAUnionWithItselfAddUp) {
  const std::vector<double> m = {0.25, 0.75, 0, 1};
  Evaluation evaluation("attention main(m: tensor<bit>[kv_len]) { mask m[k] | m[k] }", {}, {},
                        {{"m", {{4}, m}}});
  Element e{};
  e.shape = {1, 1, 1, 1, 4, 8};
  const double expected[] = {0.5, 1, 0, 1};
  for (e.k = 0; e.k < 4; ++e.k) {
    EXPECT_EQ(evaluation("mask", e).integer != 0, m[static_cast<size_t>(e.k)] != 0);
    if (e.k != 2) EXPECT_EQ(evaluation("weight", e).real, expected[e.k]);
  }
}

// Stages without selectors are a union.
TEST(Weights, OfASequenceAddUp) {
  const std::vector<double> m = {0.25, 0.75, 0, 1};
  Evaluation evaluation(
      "attention main(m: tensor<bit>[kv_len]) { mask full() & (sink(1) then m[k]) }", {}, {},
      {{"m", {{4}, m}}});
  Element e{};
  e.shape = {1, 1, 1, 1, 4, 8};
  const double expected[] = {1, 0.75, 0, 1};
  for (e.k = 0; e.k < 4; ++e.k) {
    EXPECT_EQ(evaluation("mask", e).integer != 0, expected[e.k] != 0);
    if (e.k != 2) EXPECT_EQ(evaluation("weight", e).real, expected[e.k]);
  }
}

TEST(Weights, MasksWithoutBitTensorsHaveNone) {
  const ir::Program program = testing::check_program(
      "attention main(t: tensor<bool>[kv_len]) { mask causal() & (t[k] | sink(4)) }");
  EXPECT_FALSE(program.function.result("weight").valid());
}

}  // namespace
}  // namespace maskjit
