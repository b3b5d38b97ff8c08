// Attention end to end against the f64 reference: what the API adds to the kernels. The grid of
// shapes and masks is the conformance suite's.
#include "tests/runtime/engine/problem.h"

#include <gmock/gmock.h>

#include <cmath>
#include <thread>

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace maskjit::testing {
namespace {

const Engine& engine() {
  static const Engine shared(memory_only());
  return shared;
}

TEST(Attention, TypesAndLayouts) {
  for (ElementType type : {ElementType::F32, ElementType::F16, ElementType::BF16}) {
    for (Layout layout : {Layout::HeadsFirst, Layout::RowsFirst, Layout::Padded}) {
      SCOPED_TRACE(fmt::format("{} layout {}", name_of(type), static_cast<int>(layout)));
      expect_reference(engine(), {.batch = 2,
                                  .num_heads = 4,
                                  .num_kv_heads = 2,
                                  .head_dim = 40,
                                  .head_dim_v = 24,
                                  .type = type,
                                  .layout = layout});
    }
  }
}

TEST(Attention, Shapes) {
  for (auto [q_len, kv_len] :
       {std::pair{1, 1}, {1, 300}, {70, 33}, {64, 64}, {17, 1}, {129, 257}}) {
    SCOPED_TRACE(fmt::format("{} x {}", q_len, kv_len));
    expect_reference(engine(),
                     {.num_heads = 6, .num_kv_heads = 3, .q_len = q_len, .kv_len = kv_len});
    expect_reference(
        engine(),
        {.num_heads = 6, .num_kv_heads = 3, .q_len = q_len, .kv_len = kv_len, .weights = false});
  }
  expect_reference(engine(), {.q_len = 3, .kv_len = 5, .head_dim = 1, .head_dim_v = 1});
  expect_reference(engine(), {.q_len = 20, .kv_len = 40, .head_dim = 300, .head_dim_v = 257});
}

#if defined(__SSE__)
// Kernels flush subnormal results to 0; their callers' arithmetic stays what it was.
TEST(Attention, LeavesTheFloatingPointModeAlone) {
  const unsigned before = _mm_getcsr();
  expect_reference(engine(), {.q_len = 40, .kv_len = 200, .type = ElementType::BF16});
  EXPECT_EQ(_mm_getcsr() & _MM_FLUSH_ZERO_MASK, before & _MM_FLUSH_ZERO_MASK);
}
#endif

// Kernels may subtract a maximum that they found early: scores of later tiles that exceed it by a
// little, by more than f32 can hold, and by so much that weights of earlier keys vanish; a row that
// is no number spoils no other.
TEST(Attention, ScoresThatOutgrowTheFirstTiles) {
  constexpr int64_t kQueries = 200, kKeys = 1100, kDim = 64;
  const auto attention = *engine().load_text("masker main() = full()")->bind();
  const auto score_of = [](int64_t key) {
    const int64_t tile = key / 64;
    const double wave = static_cast<double>(key % 5);
    return wave + (tile < 3 ? 0 : tile == 3 ? 20 : tile < 7 ? 100 : tile == 9 ? 2048 : 8);
  };
  // Rows of every third block of 32 outgrow nothing by much.
  const auto factor_of = [](int64_t query) {
    const double factors[] = {1, 0.25, 0.015625, 0, -1, -0.0625};
    if (query / 32 % 3 == 1) return query % 2 == 0 ? 0.015625 : -0.0078125;
    return query == 67 ? NAN : factors[query % 6];
  };
  for (const ElementType type : {ElementType::F32, ElementType::BF16}) {
    SCOPED_TRACE(name_of(type));
    Tensor query(type, {1, 1, kQueries, kDim}), key(type, {1, 1, kKeys, kDim}),
        value(type, {1, 1, kKeys, kDim}), output(type, {1, 1, kQueries, kDim}),
        lse(ElementType::F32, {1, 1, kQueries});
    for (int64_t i = 0; i < query.size(); ++i)
      query.set(i, i % kDim == 0 ? factor_of(i / kDim) : 0);
    for (int64_t i = 0; i < key.size(); ++i) {
      key.set(i, i % kDim == 0 ? score_of(i / kDim) : 0);
      value.set(i, static_cast<double>((i * 7 + i / kDim * 3) % 17) / 8 - 1);
    }
    AttentionInputs inputs{.query = query.view(), .key = key.view(), .value = value.view()};
    inputs.scale = 1.0f;
    const Status done = attention.run(inputs, {.output = output.view(), .lse = lse.view()});
    ASSERT_TRUE(done) << done.error().message;
    for (int64_t q = 0; q < kQueries; ++q) {
      SCOPED_TRACE(q);
      const double factor = query.at(q * kDim);
      if (std::isnan(factor)) {
        EXPECT_TRUE(std::isnan(output.at(q * kDim)));
        continue;
      }
      double largest = -INFINITY, total = 0;
      for (int64_t k = 0; k < kKeys; ++k) largest = std::max(largest, factor * key.at(k * kDim));
      std::vector<double> sums(kDim);
      for (int64_t k = 0; k < kKeys; ++k) {
        const double e = std::exp(factor * key.at(k * kDim) - largest);
        total += e;
        for (int64_t d = 0; d < kDim; ++d)
          sums[static_cast<size_t>(d)] += e * value.at(k * kDim + d);
      }
      for (int64_t d = 0; d < kDim; ++d) {
        EXPECT_NEAR(output.at(q * kDim + d), sums[static_cast<size_t>(d)] / total,
                    type == ElementType::F32 ? 1e-4 : 8e-3);
      }
      const double expected = largest + std::log(total);
      EXPECT_NEAR(lse.at(q), expected, 1e-5 + 1e-6 * std::abs(expected));
    }
  }
}

// Blocks of rows that share packed keys begin and end at different tiles, with holes between.
TEST(Attention, RowBlocksOfDifferentTiles) {
  for (const char* spec : {"masker main() = causal()", "masker main() = local(100)",
                           "masker main() = causal() & (sink(40) | local(90))",
                           "masker main() = causal() & (k < 64 | q - k > 400 | q - k < 30)",
                           "masker main() = causal() & k // 64 % 3 != 1",
                           "attention main { mask local(200) score alibi(s) }"}) {
    for (const int64_t head_dim : {64, 128}) {
      SCOPED_TRACE(fmt::format("{} D {}", spec, head_dim));
      expect_reference(engine(), {.spec = spec,
                                  .q_len = 500,
                                  .kv_len = 1300,
                                  .head_dim = head_dim,
                                  .head_dim_v = head_dim,
                                  .type = ElementType::BF16,
                                  .weights = false});
    }
  }
}

// A query that is no number has no maximum, but is not a row without keys.
TEST(Attention, NanIsNotAnEmptyRow) {
  const auto attention = *engine().load_text("masker main() = causal()")->bind();
  for (const ElementType type : {ElementType::F32, ElementType::BF16}) {
    for (const int64_t queries : {1, 40}) {
      SCOPED_TRACE(fmt::format("{} {}", name_of(type), queries));
      Tensor query(type, {1, 1, queries, 64}), key(type, {1, 1, 3000, 64}),
          value(type, {1, 1, 3000, 64}), output(type, {1, 1, queries, 64}),
          lse(ElementType::F32, {1, 1, queries});
      const int64_t bad = queries / 2;
      for (int64_t i = 0; i < query.size(); ++i) query.set(i, i / 64 == bad ? NAN : 0.5);
      for (int64_t i = 0; i < key.size(); ++i) key.set(i, 0.25), value.set(i, 1);
      const AttentionInputs inputs{
          .query = query.view(), .key = key.view(), .value = value.view(), .q_offset = 2900};
      const Status done = attention.run(inputs, {.output = output.view(), .lse = lse.view()});
      ASSERT_TRUE(done) << done.error().message;
      for (int64_t q = 0; q < queries; ++q) {
        EXPECT_EQ(std::isnan(output.at(q * 64)), q == bad) << q;
        EXPECT_EQ(std::isnan(lse.at(q)), q == bad) << q;
      }
    }
  }
}

// A value that is no finite number stays in its column, however many rows share the product.
TEST(Attention, NoColumnSpoilsItsNeighbours) {
  const auto attention = *engine().load_text("masker main() = full()")->bind();
  constexpr int64_t kKeys = 700, kDim = 96;
  for (const ElementType type : {ElementType::F32, ElementType::F16, ElementType::BF16}) {
    for (const int64_t heads : {1, 3, 4, 7, 16}) {
      SCOPED_TRACE(fmt::format("{} {} heads", name_of(type), heads));
      Tensor query(type, {1, heads, 1, kDim}), key(type, {1, 1, kKeys, kDim}),
          value(type, {1, 1, kKeys, kDim}), output(type, {1, heads, 1, kDim});
      for (int64_t i = 0; i < query.size(); ++i) query.set(i, 0.5);
      for (int64_t i = 0; i < key.size(); ++i) key.set(i, 0.25), value.set(i, 1);
      value.set(3 * kDim + 5, INFINITY), value.set(400 * kDim + 80, NAN);
      const AttentionInputs inputs{
          .query = query.view(), .key = key.view(), .value = value.view(), .q_offset = kKeys};
      const Status done = attention.run(inputs, {.output = output.view()});
      ASSERT_TRUE(done) << done.error().message;
      for (int64_t i = 0; i < output.size(); ++i) {
        if (i % kDim == 5) {
          EXPECT_EQ(output.at(i), INFINITY) << i;
        } else if (i % kDim == 80) {
          EXPECT_TRUE(std::isnan(output.at(i))) << i;
        } else {
          EXPECT_NEAR(output.at(i), 1, 1e-5) << i;
        }
      }
    }
  }
}

// Numerators and denominators are those of code that subtracts the maximum over all keys, also
// where the active keys are so far below it that they vanish; the output is right all the same.
TEST(Attention, RowMaximumOverAllKeys) {
  Tensor query(ElementType::F32, {1, 1, 2, 1}), key(ElementType::F32, {1, 1, 3, 1}),
      value(ElementType::F32, {1, 1, 3, 1});
  const double keys[] = {1, 2, 4}, values[] = {3, 5, 7}, queries[] = {1, 200};
  for (int i = 0; i < 3; ++i) key.set(i, keys[i]), value.set(i, values[i]);
  for (int i = 0; i < 2; ++i) query.set(i, queries[i]);
  const std::vector<int64_t> rows = {1, 1, 2};
  Tensor output(ElementType::F32, {1, 1, 2, 1}), numerator(ElementType::F32, {1, 1, 2, 1}),
      denominator(ElementType::F32, rows), row_max(ElementType::F32, rows),
      lse(ElementType::F32, rows);
  AttentionInputs inputs{.query = query.view(), .key = key.view(), .value = value.view()};
  inputs.scale = 1.0f;
  const auto attention = *engine().load_text("masker main() = k < 2")->bind();
  for (const bool over_all : {false, true}) {
    inputs.row_max_over_all = over_all;
    const Status done = attention.run(inputs, {.output = output.view(),
                                               .lse = lse.view(),
                                               .row_max = row_max.view(),
                                               .numerator = numerator.view(),
                                               .denominator = denominator.view()});
    ASSERT_TRUE(done) << done.error().message;
    // Row 0: logits 1 and 2 are active, 4 is not. Row 1: 200 and 400 against 800.
    const double m = over_all ? 4 : 2;
    EXPECT_FLOAT_EQ(static_cast<float>(row_max.at(0)), static_cast<float>(m));
    const double below = std::exp(1 - m), above = std::exp(2 - m);
    EXPECT_NEAR(denominator.at(0), below + above, 1e-6);
    EXPECT_NEAR(numerator.at(0), 3 * below + 5 * above, 2e-6);
    EXPECT_NEAR(output.at(0), (3 * std::exp(-1.0) + 5) / (std::exp(-1.0) + 1), 2e-6);
    EXPECT_NEAR(lse.at(0), 2 + std::log1p(std::exp(-1.0)), 1e-6);
    // Logits of that size leave five digits in f32.
    EXPECT_NEAR(row_max.at(1), over_all ? 800 : 400, 1e-4);
    EXPECT_NEAR(denominator.at(1), over_all ? 0 : 1, 5e-5);
    EXPECT_NEAR(numerator.at(1), over_all ? 0 : 5, 2.5e-4);
    EXPECT_FLOAT_EQ(static_cast<float>(output.at(1)), 5);
    EXPECT_NEAR(lse.at(1), 400, 1e-4);
  }
}

TEST(Attention, AdditiveMasks) {
  for (ElementType type :
       {ElementType::Bool, ElementType::F32, ElementType::F16, ElementType::BF16}) {
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{2, 2, 33, 70}, {1, 1, 1, 70}, {2, 1, 33, 75}, {1, 2, 1, 128}}) {
      SCOPED_TRACE(fmt::format("{} [{}, {}, {}, {}]", name_of(type), shape[0], shape[1], shape[2],
                               shape[3]));
      expect_reference(engine(), {.batch = 2, .additive = type, .additive_shape = shape});
    }
  }
  expect_reference(engine(), {.layout = Layout::Padded, .additive = ElementType::F32});
  expect_reference(engine(), {.additive = ElementType::F32, .row_max_over_all = true});
}

TEST(Attention, EmptyRows) {
  expect_reference(engine(), {.spec = "masker main() = none()"});
  expect_reference(engine(), {.q_len = 50, .kv_len = 20});  // the first 30 queries see no key
  expect_reference(engine(),
                   {.spec = "masker main() = q % 3 == 0 & causal()", .row_max_over_all = true});
}

TEST(Attention, RuntimeParametersNeverRecompile) {
  const std::string spec =
      "attention main(runtime window: int = 9, runtime cap: float) { mask local(window) score cap "
      "* tanh(s / cap) }";
  for (int64_t window : {1, 5, 64, 100000}) {
    expect_reference(engine(), {.spec = spec, .runtime = {{"window", window}, {"cap", 1.5}}});
  }
  expect_reference(engine(), {.spec = spec, .runtime = {{"cap", int64_t{3}}}});
}

TEST(Attention, BakedParametersScaleAndOffset) {
  const std::string spec =
      "masker main(n: int = 4, share: int = 10%) = causal() & (sink(n) | local(share))";
  expect_reference(engine(), {.spec = spec});
  expect_reference(engine(), {.spec = spec, .baked = {{"n", int64_t{0}}, {"share", Share{0.5}}}});
  expect_reference(engine(), {.spec = spec, .scale = 0.5f, .q_offset = 0});
  expect_reference(engine(), {.spec = spec, .scale = -0.25f, .q_offset = -20});
}

TEST(Attention, Tensors) {
  const std::string spec =
      "masker main(doc: tensor<i32>[batch, kv_len]) = doc[batch, q] == doc[batch, k] & causal()";
  for (int64_t batch_extent : {2, 1}) {
    Problem p{.spec = spec, .batch = 2, .q_len = 300, .kv_len = 300};
    Tensor doc(ElementType::I32, {batch_extent, 300});
    for (int64_t i = 0; i < doc.size(); ++i) doc.set(i, static_cast<double>(i / 70));
    p.tensors.emplace("doc", std::move(doc));
    expect_reference(engine(), p);
  }
  // A view with strides, as of a column of a table.
  Problem p{.spec =
                "attention main(bias: tensor<f32>[num_heads, kv_len]) { mask causal() score s + "
                "bias[head, k] }"};
  Tensor bias(ElementType::F32, {p.num_heads, p.kv_len});
  for (int64_t i = 0; i < bias.size(); ++i) bias.set(i, std::sin(static_cast<double>(i)));
  p.tensors.emplace("bias", std::move(bias));
  expect_reference(engine(), p);
}

TEST(Attention, TensorsOfEveryElementTypeWithStrides) {
  constexpr int64_t kKeys = 200;
  const auto run = [&](auto zero, ElementType type, std::string_view name) {
    using T = decltype(zero);
    SCOPED_TRACE(name);
    std::vector<T> table(3 * kKeys);
    for (int64_t k = 0; k < kKeys; ++k)
      table[static_cast<size_t>(3 * k)] = static_cast<T>(k >= 90 && k < 150);
    const auto spec =
        engine().load_text(fmt::format("masker main(flag: tensor<{}>[kv_len]) = flag[k]{}", name,
                                       name == "bool"   ? ""
                                       : name[0] == 'f' ? " > 0.5"
                                                        : " != 0"));
    ASSERT_TRUE(spec) << spec.error().message;
    const auto attention = spec->bind();
    ASSERT_TRUE(attention) << attention.error().message;
    Tensor q(ElementType::F32, {1, 1, 40, 16}), k(ElementType::F32, {1, 1, kKeys, 16});
    for (int64_t i = 0; i < q.size(); ++i) q.set(i, 1);
    for (int64_t i = 0; i < k.size(); ++i) k.set(i, 0);
    Tensor denominator(ElementType::F32, {1, 1, 40});
    AttentionInputs inputs{.query = q.view(), .key = k.view(), .value = k.view()};
    TensorView view;
    view.data = table.data();
    view.type = type;
    view.shape = {kKeys};
    view.strides = {3};
    inputs.tensors.emplace("flag", view);
    const Status done = attention->run(inputs, {.denominator = denominator.view()});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_THAT(denominator.values(), ::testing::Each(60.0));
    // From the last key backwards.
    inputs.tensors["flag"].data = table.data() + 3 * (kKeys - 1);
    inputs.tensors["flag"].strides = {-3};
    ASSERT_TRUE(attention->run(inputs, {.denominator = denominator.view()}));
    EXPECT_THAT(denominator.values(), ::testing::Each(60.0));
  };
  run(uint8_t{}, ElementType::Bool, "bool");
  run(int8_t{}, ElementType::I8, "i8");
  run(uint8_t{}, ElementType::U8, "u8");
  run(int16_t{}, ElementType::I16, "i16");
  run(int32_t{}, ElementType::I32, "i32");
  run(int64_t{}, ElementType::I64, "i64");
  run(float{}, ElementType::F32, "f32");
  run(double{}, ElementType::F64, "f64");
}

TEST(Attention, NanInASummarisedTensorHidesNoTile) {
  constexpr int64_t kKeys = 512;
  const auto spec = engine().load_text("masker main(x: tensor<f32>[kv_len]) = x[k] >= 0.0");
  const auto attention = spec->bind();
  ASSERT_TRUE(attention) << attention.error().message;
  std::vector<float> x(kKeys, -1.0f);
  for (size_t k : {0u, 64u, 200u}) x[k] = NAN;
  x[70] = 1.0f;
  x[511] = 2.0f;
  Tensor q(ElementType::F32, {1, 1, 2, 16}), k(ElementType::F32, {1, 1, kKeys, 16});
  for (int64_t i = 0; i < q.size(); ++i) q.set(i, 1);
  for (int64_t i = 0; i < k.size(); ++i) k.set(i, 0);
  Tensor denominator(ElementType::F32, {1, 1, 2});
  AttentionInputs inputs{.query = q.view(), .key = k.view(), .value = k.view()};
  inputs.tensors.emplace("x", TensorView::contiguous(x.data(), ElementType::F32, {kKeys}));
  ASSERT_TRUE(attention->run(inputs, {.denominator = denominator.view()}));
  EXPECT_THAT(denominator.values(), ::testing::Each(2.0));
}

TEST(Attention, ZeroSizes) {
  const auto attention = engine().load_text("", "causal")->bind();
  ASSERT_TRUE(attention);
  const auto run = [&](int64_t batch, int64_t q_len, int64_t kv_len, Tensor& output, Tensor& lse) {
    Tensor q(ElementType::F16, {batch, 2, q_len, 16}), k(ElementType::F16, {batch, 1, kv_len, 16});
    const Status done = attention->run({.query = q.view(), .key = k.view(), .value = k.view()},
                                       {.output = output.view(), .lse = lse.view()});
    ASSERT_TRUE(done) << done.error().message;
  };
  Tensor no_rows(ElementType::F16, {1, 2, 0, 16}), no_lse(ElementType::F32, {1, 2, 0});
  run(1, 0, 5, no_rows, no_lse);
  run(1, 0, 0, no_rows, no_lse);
  Tensor no_batch(ElementType::F16, {0, 2, 4, 16}), no_batch_lse(ElementType::F32, {0, 2, 4});
  run(0, 4, 5, no_batch, no_batch_lse);
  Tensor output(ElementType::F16, {1, 2, 4, 16}, Layout::Padded), lse(ElementType::F32, {1, 2, 4});
  run(1, 4, 0, output, lse);
  EXPECT_THAT(output.values(), ::testing::Each(0.0));
  EXPECT_TRUE(output.gaps_untouched());
  EXPECT_THAT(lse.values(), ::testing::Each(-INFINITY));
}

TEST(Attention, SpecReloadedSharesTheKernelAndThreadsAgree) {
  Engine own(memory_only());
  const auto first = own.load_text("masker a(n: int = 7) = causal() & local(n)")->bind();
  const auto renamed = own.load_text("masker other(width: int) =\n  causal()\n    & local(width)")
                           ->bind({{"width", int64_t{7}}});
  Tensor q(ElementType::F32, {1, 4, 40, 32}), out(ElementType::F32, {1, 4, 40, 32});
  for (int64_t i = 0; i < q.size(); ++i) q.set(i, std::sin(static_cast<double>(i)));
  const AttentionInputs inputs{.query = q.view(), .key = q.view(), .value = q.view()};
  const auto a = first->prepare(inputs, {.output = out.view()});
  const auto b = renamed->prepare(inputs, {.output = out.view()});
  const auto c = first->prepare(inputs, {.output = out.view()});
  ASSERT_TRUE(a && b && c);
  EXPECT_EQ(a->origin, "compiled");
  EXPECT_EQ(b->origin, "memory");
  EXPECT_EQ(c->origin, "memory");
  EXPECT_EQ(a->key, b->key);
  EXPECT_EQ(a->key.size(), 64u);
  EXPECT_GT(a->work_items, 0);
  EXPECT_EQ(a->template_name, "host/attention_forward");
  EXPECT_EQ(a->target, own.state().target.print());
  EXPECT_FALSE(a->stage_milliseconds.empty());
  EXPECT_THAT(a->refused,
              ::testing::ElementsAre(::testing::Pair("host/attention_decode", ::testing::_)));

  ASSERT_TRUE(first->run(inputs, {.output = out.view()}));
  const std::vector<double> want = out.values();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      Tensor mine(ElementType::F32, {1, 4, 40, 32});
      for (int i = 0; i < 10; ++i) {
        EXPECT_TRUE((t % 2 == 0 ? first : renamed)->run(inputs, {.output = mine.view()}));
        EXPECT_EQ(mine.values(), want);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

// Calls of a few microseconds stay on the caller: waking another thread takes longer.
TEST(Attention, SmallCallsWakeNoThreads) {
  struct Pool final : ThreadPool {
    mutable std::vector<int> counts;
    int threads() const override { return 3; }
    void run(int count, void (*task)(void*, int), void* context) const override {
      counts.push_back(count);
      for (int i = 0; i < count; ++i) task(context, i);
    }
  };
  for (const ElementType type : {ElementType::F32, ElementType::BF16}) {
    for (const auto& [q_len, kv_len, threads] :
         {std::tuple{1, 64, 1}, {64, 64, 1}, {1, 8'000, 3}, {256, 256, 3}}) {
      SCOPED_TRACE(fmt::format("{} {} {}", name_of(type), q_len, kv_len));
      const auto pool = std::make_shared<Pool>();
      EngineOptions options = memory_only();
      options.thread_pool = pool;
      expect_reference(Engine(options), {.spec = "masker main() = full()",
                                         .num_heads = 1,
                                         .q_len = q_len,
                                         .kv_len = kv_len,
                                         .head_dim = 64,
                                         .head_dim_v = 64,
                                         .type = type,
                                         .weights = false});
      EXPECT_EQ(pool->counts.empty(), threads == 1);
      if (threads > 1) EXPECT_THAT(pool->counts, ::testing::Contains(threads));
    }
  }
}

TEST(Attention, EveryTemplateAndTargetAgrees) {
  for (const char* name :
       {"host/attention_decode", "host/attention_forward", "host/attention_reference"}) {
    for (int threads : {1, 4}) {
      SCOPED_TRACE(fmt::format("{} {}", name, threads));
      EngineOptions options = memory_only();
      options.only_template = name;
      options.threads = threads;
      expect_reference(Engine(options),
                       {.num_heads = 8,
                        .num_kv_heads = 2,
                        .q_len = 3,
                        .kv_len = 2000,
                        .weights = std::string_view(name) != "host/attention_decode"});
    }
  }
  for (const std::string& target : codegen::Target::names()) {
    if (!codegen::Target::executable(*codegen::Target::parse(target))) continue;
    SCOPED_TRACE(target);
    EngineOptions options = memory_only();
    options.target = target;
    expect_reference(Engine(options), {.type = ElementType::BF16});
    options.opt_level = 0;
    expect_reference(Engine(options), {.type = ElementType::F32});
  }
}

}  // namespace
}  // namespace maskjit::testing
