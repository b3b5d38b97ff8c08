// Dropout through the public API: who says that there is any, which weights it drops on every
// template, target and number of threads, and how many.
#include <gmock/gmock.h>

#include <cmath>

#include "tests/runtime/engine/problem.h"

namespace maskjit::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Engine& engine() {
  static const Engine shared(memory_only());
  return shared;
}

TEST(Dropout, AgreesWithTheReference) {
  for (bool renormalise : {false, true}) {
    for (auto [q_len, kv_len] : {std::pair{1, 300}, {3, 64}, {70, 130}, {129, 63}}) {
      for (ElementType type : {ElementType::F32, ElementType::F16, ElementType::BF16}) {
        for (bool weights : {false, true}) {
          SCOPED_TRACE(fmt::format("{} {} x {} {}", renormalise, q_len, kv_len, name_of(type)));
          expect_reference(
              engine(),
              {.batch = 2,
               .num_heads = 4,
               .num_kv_heads = 2,
               .q_len = q_len,
               .kv_len = kv_len,
               .type = type,
               .dropout =
                   Dropout{.seed = 5, .offset = 9, .probability = 0.25, .renormalise = renormalise},
               .weights = weights});
        }
      }
    }
  }
  expect_reference(engine(), {.additive = ElementType::F32,
                              .dropout = Dropout{.probability = 0.5, .renormalise = true},
                              .row_max_over_all = true});
}

// With equal queries and keys every weight is the same, and with unit vectors as values a row of
// the output is its weights: what is 0 was dropped.
struct Shown {
  Tensor query, key, value, output;
  AttentionInputs inputs;
  AttentionOutputs outputs;

  Shown(int64_t q_len, int64_t kv_len, ElementType type)
      : query(type, {2, 6, q_len, 16}),
        key(type, {2, 2, kv_len, 16}),
        value(type, {2, 2, kv_len, kv_len}),
        output(type, {2, 6, q_len, kv_len}) {
    for (Tensor* t : {&query, &key}) {
      for (int64_t i = 0; i < t->size(); ++i) t->set(i, 0.5);
    }
    for (int64_t i = 0; i < value.size(); ++i) {
      value.set(i, i / kv_len % kv_len == i % kv_len ? 1 : 0);
    }
    inputs.query = query.view();
    inputs.key = key.view();
    inputs.value = value.view();
    outputs.output = output.view();
  }
};

Attention bound(const Engine& on, const std::string& text, const Values& values = {}) {
  return *on.load_text(text)->bind(values);
}

void expect_pattern(const Engine& on, int64_t q_len, int64_t kv_len, ElementType type) {
  Shown call(q_len, kv_len, type);
  for (const double p : {0.1, 0.7}) {
    call.inputs.dropout = Dropout{.seed = 77, .offset = 3, .probability = p};
    const Status done = bound(on, "masker main() = full()").run(call.inputs, call.outputs);
    ASSERT_TRUE(done) << done.error().message;
    const interp::Dropout expected(p, 77, 3, false);
    const double kept = expected.scale() / static_cast<double>(kv_len);
    for (int64_t i = 0; i < call.output.size(); ++i) {
      const int64_t k = i % kv_len, q = i / kv_len % q_len, h = i / kv_len / q_len % 6,
                    b = i / kv_len / q_len / 6;
      const double w = call.output.at(i);
      if (!expected.keeps(b, h, q, k)) {
        ASSERT_EQ(w, 0) << b << " " << h << " " << q << " " << k;
      } else {
        ASSERT_NEAR(w, kept, 0.01 * kept) << b << " " << h << " " << q << " " << k;
      }
    }
  }
}

TEST(Dropout, DropsTheSameWeightsOnEveryTemplate) {
  for (const char* name :
       {"host/attention_forward", "host/attention_decode", "host/attention_reference"}) {
    EngineOptions options = memory_only();
    options.only_template = name;
    const Engine only(options);
    for (ElementType type : {ElementType::F32, ElementType::F16, ElementType::BF16}) {
      SCOPED_TRACE(fmt::format("{} {}", name, name_of(type)));
      expect_pattern(only, 5, 200, type);
      if (std::string_view(name) != "host/attention_decode") expect_pattern(only, 70, 130, type);
    }
  }
}

TEST(Dropout, DropsTheSameWeightsOnEveryTargetAndLevel) {
  for (const std::string& target : codegen::Target::names()) {
    for (int opt_level : {0, 3}) {
      EngineOptions options = memory_only();
      options.target = target;
      options.opt_level = opt_level;
      const auto parsed = codegen::Target::parse(target);
      if (!parsed || !codegen::Target::executable(*parsed)) continue;
      SCOPED_TRACE(fmt::format("{} O{}", target, opt_level));
      const Engine on(options);
      expect_pattern(on, 5, 100, ElementType::BF16);
      expect_pattern(on, 67, 100, ElementType::F32);
    }
  }
}

TEST(Dropout, DropsTheSameWeightsForEveryNumberOfThreads) {
  for (int threads : {1, 2, 7}) {
    EngineOptions options = memory_only();
    options.threads = threads;
    const Engine on(options);
    expect_pattern(on, 1, 250, ElementType::F32);
    expect_pattern(on, 130, 64, ElementType::F32);
  }
}

// Of n weights n (1 - p) stay, give or take six standard deviations of the binomial distribution:
// a right implementation fails for one seed in 500 million.
TEST(Dropout, KeepsTheShareThatItShould) {
  for (const double p : {0.01, 0.1, 0.5, 0.9}) {
    Shown call(256, 256, ElementType::F32);
    call.inputs.dropout = Dropout{.seed = 123, .offset = 4, .probability = p};
    ASSERT_TRUE(bound(engine(), "masker main() = full()").run(call.inputs, call.outputs));
    const std::vector<double> values = call.output.values();
    const auto n = static_cast<double>(values.size());
    const auto dropped = static_cast<double>(std::count(values.begin(), values.end(), 0.0));
    EXPECT_NEAR(dropped, n * p, 6 * std::sqrt(n * p * (1 - p))) << p;
  }
}

// The call of `spec` with these settings, its output.
std::vector<double> output_of(const std::string& spec, const std::optional<Dropout>& dropout,
                              const Values& runtime = {}, const Values& baked = {}) {
  Shown call(9, 40, ElementType::F32);
  call.inputs.dropout = dropout;
  call.inputs.runtime = runtime;
  const Status done = bound(engine(), spec, baked).run(call.inputs, call.outputs);
  EXPECT_TRUE(done) << done.error().message;
  return call.output.values();
}

TEST(Dropout, IsForTrainingOnly) {
  const std::vector<double> plain = output_of("masker main() = causal()", {});
  EXPECT_EQ(output_of("attention main { mask causal() dropout 0.5 }", {}), plain);
  EXPECT_NE(output_of("attention main { mask causal() dropout 0.5 }", Dropout{}), plain);
  EXPECT_EQ(output_of("attention main { mask causal() }", Dropout{}), plain);
  EXPECT_EQ(output_of("attention main { mask causal() dropout 0.0 }", Dropout{}), plain);
}

TEST(Dropout, TheCallComesBeforeTheSpec) {
  const auto by_call = [](double p, bool renormalise) {
    return output_of("masker main() = causal()",
                     Dropout{.seed = 1, .probability = p, .renormalise = renormalise});
  };
  const Dropout seeded{.seed = 1};
  EXPECT_EQ(output_of("attention main { mask causal() dropout 0.5 }", seeded), by_call(0.5, false));
  EXPECT_EQ(output_of("attention main { mask causal() dropout 0.5 renormalise }", seeded),
            by_call(0.5, true));
  EXPECT_EQ(output_of("attention main { mask causal() dropout 0.5 renormalise }",
                      Dropout{.seed = 1, .probability = 0.25, .renormalise = false}),
            by_call(0.25, false));
  EXPECT_EQ(output_of("attention main { mask causal() dropout 0.5 }",
                      Dropout{.seed = 1, .renormalise = true}),
            by_call(0.5, true));
  EXPECT_EQ(
      output_of("attention main(p: float) { mask causal() dropout p }", seeded, {}, {{"p", 0.125}}),
      by_call(0.125, false));
  const std::string runtime =
      "attention main(runtime n: int, runtime p: float) { mask k < n dropout min(p, 1.0 / "
      "kv_len) }";
  const std::string by_value = "attention main(runtime n: int) { mask k < n }";
  EXPECT_EQ(output_of(runtime, seeded, {{"n", 30}, {"p", 0.5}}),
            output_of(by_value, Dropout{.seed = 1, .probability = 1.0 / 40}, {{"n", 30}}));
}

TEST(Dropout, SeedAndOffsetChangeThePattern) {
  const auto with = [](uint64_t seed, uint64_t offset) {
    return output_of("masker main() = full()",
                     Dropout{.seed = seed, .offset = offset, .probability = 0.5});
  };
  EXPECT_EQ(with(1, 2), with(1, 2));
  EXPECT_NE(with(1, 2), with(2, 2));
  EXPECT_NE(with(1, 2), with(1, 3));
  EXPECT_NE(with(1, 2), with(1 + (uint64_t{1} << 32), 2));
  EXPECT_NE(with(1, 2), with(1, 2 + (uint64_t{1} << 32)));
}

TEST(Dropout, KernelsWithoutItKnowOfNone) {
  Shown call(9, 40, ElementType::F32);
  const Attention attention = bound(engine(), "attention main { mask causal() dropout 0.5 }");
  EXPECT_THAT(attention.prepare(call.inputs, call.outputs)->spec, Not(HasSubstr("dropout")));
  call.inputs.dropout = Dropout{};
  EXPECT_THAT(attention.prepare(call.inputs, call.outputs)->spec, HasSubstr(" dropout=1 "));
  call.inputs.dropout->renormalise = true;
  EXPECT_THAT(attention.prepare(call.inputs, call.outputs)->spec, HasSubstr(" dropout=2 "));
  call.inputs.dropout->probability = 0;
  EXPECT_THAT(attention.prepare(call.inputs, call.outputs)->spec, Not(HasSubstr("dropout")));
}

// A row of which nothing is left is 0, not NaN.
TEST(Dropout, RowsThatAreDroppedWhole) {
  Shown call(200, 1, ElementType::F32);
  Tensor lse(ElementType::F32, {2, 6, 200}), weights(ElementType::F32, {2, 6, 200, 1});
  call.inputs.dropout = Dropout{.probability = 0.5, .renormalise = true};
  call.outputs.lse = lse.view();
  call.outputs.weights = weights.view();
  ASSERT_TRUE(bound(engine(), "masker main() = full()").run(call.inputs, call.outputs));
  int dropped = 0;
  for (int64_t i = 0; i < lse.size(); ++i) {
    const bool gone = call.output.at(i) == 0;
    dropped += gone;
    EXPECT_EQ(call.output.at(i), gone ? 0 : 1);
    EXPECT_EQ(weights.at(i), gone ? 0 : 1);
    EXPECT_EQ(std::isinf(lse.at(i)), gone);
  }
  EXPECT_GT(dropped, 1000);
}

TEST(Dropout, ProbabilitiesOutsideOfTheirRange) {
  Shown call(9, 40, ElementType::F32);
  const auto message = [&](const std::string& spec) {
    const Status status = bound(engine(), spec).run(call.inputs, call.outputs);
    return status ? "" : status.error().message;
  };
  for (auto [p, text] : {std::pair{1.0, "1"}, {-0.5, "-0.5"}, {NAN, "nan"}}) {
    call.inputs.dropout = Dropout{.probability = p};
    EXPECT_EQ(message("masker main() = causal()"),
              fmt::format("the dropout probability is {}; 0 to below 1 is possible", text));
  }
  call.inputs.dropout = Dropout{};
  call.inputs.runtime = {{"p", 2.0}};
  EXPECT_EQ(message("attention main(runtime p: float) { mask causal() dropout p }"),
            "the dropout probability is 2; 0 to below 1 is possible");
  call.inputs.runtime = {};
  EXPECT_EQ(message("attention main(runtime p: float) { mask causal() dropout p }"),
            "run-time parameter 'p' (float) has no value and no default");
}

}  // namespace
}  // namespace maskjit::testing
