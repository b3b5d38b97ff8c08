#include <gmock/gmock.h>

#include <cmath>

#include "tests/runtime/engine/problem.h"

namespace maskjit::testing {
namespace {

Tensor filled(ElementType type, std::vector<int64_t> shape, const std::vector<double>& values,
              Layout layout = Layout::HeadsFirst) {
  Tensor tensor(type, std::move(shape), layout);
  for (int64_t i = 0; i < tensor.size(); ++i) {
    tensor.set(i, values[static_cast<size_t>(i) % values.size()]);
  }
  return tensor;
}

TEST(MergePartials, TwoPartsByHand) {
  // Denominators 1 and 3: weights 1/4 and 3/4.
  const Tensor a = filled(ElementType::F32, {1, 2}, {4, 8}),
               b = filled(ElementType::F32, {1, 2}, {8, 0});
  const Tensor la = filled(ElementType::F32, {1}, {0}),
               lb = filled(ElementType::F32, {1}, {std::log(3.0)});
  const Tensor output(ElementType::F32, {1, 2}), lse(ElementType::F32, {1});
  ASSERT_TRUE(
      merge_partials({a.view(), b.view()}, {la.view(), lb.view()}, output.view(), lse.view()));
  EXPECT_NEAR(output.at(0), 7, 1e-6);
  EXPECT_NEAR(output.at(1), 2, 1e-6);
  EXPECT_NEAR(lse.at(0), std::log(4.0), 1e-6);
}

TEST(MergePartials, EmptyPartsCountForNothing) {
  const Tensor a = filled(ElementType::F32, {2, 2}, {NAN}),
               b = filled(ElementType::F32, {2, 2}, {1, 2, 3, 4});
  const Tensor la = filled(ElementType::F32, {2}, {-INFINITY});
  const Tensor lb = filled(ElementType::F32, {2}, {5, -INFINITY});
  const Tensor output(ElementType::F32, {2, 2}), lse(ElementType::F32, {2});
  ASSERT_TRUE(
      merge_partials({a.view(), b.view()}, {la.view(), lb.view()}, output.view(), lse.view()));
  EXPECT_THAT(output.values(), ::testing::ElementsAre(1, 2, 0, 0));
  EXPECT_THAT(lse.values(), ::testing::ElementsAre(5, -INFINITY));
}

TEST(MergePartials, LargeLogitsDoNotOverflowAndNanIsKept) {
  const Tensor a = filled(ElementType::F32, {3, 1}, {1}), b = filled(ElementType::F32, {3, 1}, {3});
  const Tensor la = filled(ElementType::F32, {3}, {30000, -30000, NAN});
  const Tensor lb = filled(ElementType::F32, {3}, {30000, -30000, 1});
  const Tensor output(ElementType::F32, {3, 1}), lse(ElementType::F32, {3});
  ASSERT_TRUE(
      merge_partials({a.view(), b.view()}, {la.view(), lb.view()}, output.view(), lse.view()));
  EXPECT_NEAR(output.at(0), 2, 1e-6);
  EXPECT_NEAR(output.at(1), 2, 1e-6);
  EXPECT_NEAR(lse.at(0), 30000 + std::log(2.0), 1e-2);
  EXPECT_TRUE(std::isnan(output.at(2)));
  EXPECT_TRUE(std::isnan(lse.at(2)));
}

TEST(MergePartials, MayWriteOverAnInput) {
  Tensor a = filled(ElementType::BF16, {2, 1, 4, 8}, {1, 2, 3}, Layout::Padded);
  const Tensor b = filled(ElementType::BF16, {2, 1, 4, 8}, {5, 6, 7}, Layout::RowsFirst);
  Tensor la = filled(ElementType::F32, {2, 1, 4}, {0.5, 1, -1, 0});
  const Tensor lb = filled(ElementType::F32, {2, 1, 4}, {1, 0, 0, 0});
  const Tensor output(ElementType::BF16, {2, 1, 4, 8}), lse(ElementType::F32, {2, 1, 4});
  ASSERT_TRUE(
      merge_partials({a.view(), b.view()}, {la.view(), lb.view()}, output.view(), lse.view()));
  ASSERT_TRUE(merge_partials({a.view(), b.view()}, {la.view(), lb.view()}, a.view(), la.view()));
  EXPECT_EQ(a.values(), output.values());
  EXPECT_EQ(la.values(), lse.values());
  EXPECT_TRUE(a.gaps_untouched());
}

// Attention over two halves of the keys, merged, is attention over all of them.
TEST(MergePartials, SplitsOfTheKeysGiveTheWhole) {
  const Engine engine(memory_only());
  const auto attention = engine.load_text("masker main() = causal() & local(40)")->bind();
  ASSERT_TRUE(attention);
  constexpr int64_t kKeys = 96, kRows = 60, kDim = 16;
  Tensor q(ElementType::F32, {1, 2, kRows, kDim}), k(ElementType::F32, {1, 2, kKeys, kDim}),
      v(ElementType::F32, {1, 2, kKeys, kDim});
  for (int64_t i = 0; i < q.size(); ++i) q.set(i, std::sin(static_cast<double>(i)));
  for (int64_t i = 0; i < k.size(); ++i) k.set(i, std::sin(static_cast<double>(i) * 1.7));
  for (int64_t i = 0; i < v.size(); ++i) v.set(i, std::sin(static_cast<double>(i) * 2.9));
  const auto run = [&](int64_t begin, int64_t end, const Tensor& output, const Tensor& lse) {
    AttentionInputs inputs{.query = q.view(), .key = k.view(), .value = v.view()};
    for (TensorView* view : {&inputs.key, &inputs.value}) {
      view->data = static_cast<float*>(view->data) + begin * kDim;
      view->shape[2] = end - begin;
    }
    inputs.q_offset = kKeys - kRows - begin;  // the part's keys start at position 0
    const Status done = attention->run(inputs, {.output = output.view(), .lse = lse.view()});
    ASSERT_TRUE(done) << done.error().message;
  };
  std::vector<Tensor> outputs(4), lses(4);
  for (Tensor& t : outputs) t = Tensor(ElementType::F32, {1, 2, kRows, kDim});
  for (Tensor& t : lses) t = Tensor(ElementType::F32, {1, 2, kRows});
  run(0, kKeys, outputs[0], lses[0]);
  run(0, 30, outputs[1], lses[1]);
  run(30, 31, outputs[2], lses[2]);
  run(31, kKeys, outputs[3], lses[3]);
  const Tensor output(ElementType::F32, {1, 2, kRows, kDim}), lse(ElementType::F32, {1, 2, kRows});
  ASSERT_TRUE(merge_partials({outputs[1].view(), outputs[2].view(), outputs[3].view()},
                             {lses[1].view(), lses[2].view(), lses[3].view()}, output.view(),
                             lse.view()));
  for (int64_t i = 0; i < output.size(); ++i)
    ASSERT_NEAR(output.at(i), outputs[0].at(i), 2e-6) << i;
  for (int64_t i = 0; i < lse.size(); ++i) ASSERT_NEAR(lse.at(i), lses[0].at(i), 1e-5) << i;
}

TEST(MergePartials, Errors) {
  const Tensor a(ElementType::F32, {2, 3}), l(ElementType::F32, {2}), wrong(ElementType::F32, {3});
  const Tensor integers(ElementType::I32, {2, 3}), scalar(ElementType::F32, {3});
  const auto message = [](const Status& status) { return status ? "" : status.error().message; };
  EXPECT_EQ(message(merge_partials({}, {}, a.view(), l.view())),
            "0 partial outputs and 0 partial lse are given; at least one of each is needed, and as "
            "many of one as "
            "of the other");
  EXPECT_EQ(message(merge_partials({a.view()}, {wrong.view()}, a.view(), l.view())),
            "partial lse 0 f32[3] does not have the shape of output f32[2, 3]");
  EXPECT_EQ(message(merge_partials({integers.view()}, {l.view()}, a.view(), l.view())),
            "partial output 0 i32[2, 3] has element type i32, which partial results cannot have");
  EXPECT_EQ(message(merge_partials({a.view()}, {l.view()}, scalar.view(), l.view())),
            "output f32[3] has 1 dimensions; [..., q_len, head_dim_v] is needed");
}

}  // namespace
}  // namespace maskjit::testing
