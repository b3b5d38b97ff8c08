// Sequences of maskers through the public API against the f64 reference.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/runtime/engine/problem.h"

namespace maskjit {
namespace {

using testing::Layout;
using testing::Problem;
using testing::Tensor;

class Selection : public ::testing::Test {
 protected:
  void expect(const Problem& problem) const { testing::expect_reference(engine, problem); }
  const Engine engine{testing::memory_only()};
};

const char* const kSequences[] = {
    "top_k(7)",
    "top_k(0)",
    "top_k(1000)",
    "causal() & (sink(4) then local(8) then top_k(10%))",
    "causal() & top_p(0.6)",
    "top_p(0)",
    "top_p(1)",
    "causal() & (sink(2) then random(0.3))",
    "causal() & (sink(2) then top_k(5) then adaptive(base = 20%, epsilon = 0.2, delta = 0.2))",
    "sink(3) then adaptive(base = 6, epsilon = 0.05, delta = 0.4) then random(0.5)",
    "local(20) & (top_k(3) then (k % 5 == 0) then top_p(0.5) then random(0.25) then sink(1))",
    "none() & top_k(3)",
    "top_k(head + 2 + q % 3)",
};

TEST_F(Selection, Sequences) {
  for (const char* sequence : kSequences) {
    SCOPED_TRACE(sequence);
    for (const int64_t q_len : {1, 33}) {
      expect({.spec = std::string("masker main() = ") + sequence,
              .num_heads = 4,
              .num_kv_heads = 2,
              .q_len = q_len,
              .kv_len = 150,
              .sampling = {.seed = 5, .offset = 9}});
    }
  }
}

TEST_F(Selection, TypesAndLayouts) {
  for (const ElementType type : {ElementType::F32, ElementType::BF16, ElementType::F16}) {
    for (const Layout layout : {Layout::HeadsFirst, Layout::RowsFirst, Layout::Padded}) {
      SCOPED_TRACE(std::string(name_of(type)));
      expect({.spec = "masker main() = causal() & (sink(4) then top_k(9) then random(0.2))",
              .num_heads = 2,
              .q_len = 70,
              .kv_len = 201,
              .head_dim = 40,
              .head_dim_v = 24,
              .type = type,
              .layout = layout});
    }
  }
}

TEST_F(Selection, AdditiveMasks) {
  for (const ElementType additive : {ElementType::F32, ElementType::Bool}) {
    for (const char* sequence : kSequences) {
      SCOPED_TRACE(sequence);
      expect({.spec = std::string("masker main() = ") + sequence,
              .batch = 2,
              .q_len = 20,
              .additive = additive});
    }
  }
}

TEST_F(Selection, Scores) {
  for (const char* sequence : {"causal() & (sink(2) then top_k(6))", "top_p(0.4)",
                               "sink(2) then adaptive(base = 8, epsilon = 0.3, delta = 0.3)"}) {
    SCOPED_TRACE(sequence);
    expect({.spec = std::string("attention main(runtime cap: float = 2.0) { mask ") + sequence +
                    " score softcap(s, cap) score alibi(s) }",
            .q_len = 40,
            .runtime = {{"cap", 3.0}}});
  }
}

TEST_F(Selection, NegativeAndZeroScales) {
  for (const float scale : {-0.5f, 0.0f})
    expect({.spec = "masker main() = sink(2) then top_k(6) then top_p(0.3)", .scale = scale});
}

TEST_F(Selection, RuntimeBudgets) {
  const char* spec =
      "attention main(runtime n: int, runtime p: float = 0.5) { mask top_k(n) then top_p(p) then "
      "random(p / 2) }";
  for (const int64_t n : {-3, 0, 1, 25, 100})
    expect({.spec = spec, .runtime = {{"n", n}, {"p", 0.25}}});
}

// They count as the nearest numbers that are possible.
TEST_F(Selection, RuntimeArgumentsOutOfRange) {
  const char* specs[] = {
      "attention main(runtime x: float) { mask top_p(x) }",
      "attention main(runtime x: float) { mask sink(2) then random(x) }",
      "attention main(runtime x: float) { mask adaptive(base = x, epsilon = 0.1, delta = 0.1) }",
      "attention main(runtime x: float) { mask adaptive(base = 20%, epsilon = x, delta = 0.1) }",
      "attention main(runtime x: float) { mask adaptive(base = 20%, epsilon = 0.1, delta = x) }"};
  for (const char* spec : specs) {
    SCOPED_TRACE(spec);
    for (const double x : {-1e30, -0.5, 0.0, 1.0, 7.0})
      expect({.spec = spec, .runtime = {{"x", x}}});
  }
}

TEST_F(Selection, Dropout) {
  for (const bool renormalise : {false, true}) {
    expect({.spec = "masker main() = causal() & (sink(4) then random(0.5))",
            .dropout = Dropout{.seed = 3, .probability = 0.3, .renormalise = renormalise}});
  }
}

TEST_F(Selection, RowMaximumOverAllKeys) {
  for (const char* sequence : {"causal() & top_k(5)", "sink(2) then random(0.2)"}) {
    expect({.spec = std::string("masker main() = ") + sequence,
            .additive = ElementType::F32,
            .row_max_over_all = true});
  }
}

TEST_F(Selection, ExplicitMasksAsStages) {
  const int64_t q_len = 33, kv_len = 70;
  Tensor dense(ElementType::F32, {1, 2, q_len, kv_len});
  for (int64_t i = 0; i < dense.size(); ++i)
    dense.set(i, i % 3 == 0 ? 0.25 + 0.5 * static_cast<double>(i % 2) : 0);
  for (const char* sequence :
       {"explicit(m) then top_k(5)", "sink(4) then top_k(5) then explicit(m) then explicit(m)"}) {
    expect({.spec = std::string(
                        "attention main(m: tensor<bit>[batch, num_heads, q_len, kv_len]) { mask ") +
                    sequence + " }",
            .tensors = {{"m", dense}}});
  }
}

// Ties go to the lower key, whatever the length of the row.
TEST_F(Selection, EqualScores) {
  for (const int64_t kv_len : {5, 64, 200, 1000}) {
    for (const char* sequence : {"top_k(3)", "top_k(40%)", "(k % 3 == 1) & top_k(9)"}) {
      expect({.spec = std::string("masker main() = ") + sequence,
              .q_len = 20,
              .kv_len = kv_len,
              .head_dim = 8,
              .head_dim_v = 8,
              .scale = 0.0f});
    }
  }
}

TEST_F(Selection, LongRows) {
  for (const int64_t q_len : {1, 3, 100}) {
    expect({.spec = "masker main() = causal() & (sink(16) then local(64) then top_k(5%) then "
                    "adaptive(base = 2%, epsilon = 0.1, delta = 0.1))",
            .num_heads = 8,
            .num_kv_heads = 2,
            .q_len = q_len,
            .kv_len = 3001,
            .head_dim = 64,
            .head_dim_v = 64,
            .weights = false});
  }
}

// One thread or many, one seed: the same bits.
TEST_F(Selection, DoesNotDependOnThreads) {
  const char* text =
      "masker main() = causal() & (sink(4) then top_k(5%) then adaptive(base = 5%, epsilon = 0.2, "
      "delta = 0.2))";
  std::vector<std::vector<double>> results;
  for (const int threads : {1, 2, 7}) {
    EngineOptions options = testing::memory_only();
    options.threads = threads;
    const Engine one(options);
    const auto attention = one.load_text(text)->bind();
    Tensor q(ElementType::F32, {1, 4, 50, 32}), k(ElementType::F32, {1, 2, 400, 32});
    for (int64_t i = 0; i < q.size(); ++i) q.set(i, std::sin(static_cast<double>(i) * 0.7));
    for (int64_t i = 0; i < k.size(); ++i) k.set(i, std::sin(static_cast<double>(i) * 1.3));
    Tensor out(ElementType::F32, {1, 4, 50, 32});
    ASSERT_TRUE(attention->run(
        {.query = q.view(), .key = k.view(), .value = k.view(), .sampling = {.seed = 11}},
        {.output = out.view()}));
    results.push_back(out.values());
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST_F(Selection, TooManyStages) {
  std::string text = "masker main() = top_k(1)";
  for (int i = 0; i < 8; ++i) text += " then top_k(1)";
  Tensor q(ElementType::F32, {1, 1, 1, 8});
  const auto attention = engine.load_text(text)->bind();
  ASSERT_TRUE(attention);
  const Status done =
      attention->run({.query = q.view(), .key = q.view(), .value = q.view()}, {.output = q.view()});
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("9 stages; 8 are possible"), std::string::npos)
      << done.error().message;
}

}  // namespace
}  // namespace maskjit
