// Sequences of maskers on the emulator, through the public API against the f64 reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/runtime/engine/scorer_cases.h"

namespace maskjit {
namespace {

using testing::Layout;
using testing::Problem;
using testing::SequenceCase;
using testing::Tensor;

EngineOptions on_emulator(std::string only_template = {}) {
  EngineOptions options = testing::memory_only();
  options.device = "emulator";
  options.only_template = std::move(only_template);
  return options;
}

constexpr int64_t kHeadDim = 16;

// What ranks by the logits or by random numbers.
const SequenceCase kCases[] = {
    {"Best", "attention main { mask causal() & (sink(4) then local(8) then top_k(10%)) }"},
    {"All", "attention main { mask top_k(1000) then top_p(1.0) }"},
    {"None", "attention main { mask none() & top_k(3) }"},
    {"Budgets", "attention main { mask top_k(head + 2 + q % 3) then top_k(0) }"},
    {"Mass", "attention main { mask causal() & (sink(2) then top_p(0.6)) }"},
    {"NoMass", "attention main { mask top_p(0.0) then top_k(2) }"},
    {"Random", "attention main { mask causal() & (sink(2) then random(0.3)) }"},
    {"Adaptive",
     "attention main { mask causal() & (sink(2) then top_k(5) then adaptive(base = 20%, epsilon = "
     "0.2, delta = 0.2)) }"},
    {"Weights",
     "attention main { mask sink(3) then adaptive(base = 6, epsilon = 0.05, delta = 0.4) then "
     "random(0.5) then local(20) then top_p(0.3) }"},
    {"Scores",
     "attention main { mask local(60) & (top_k(3) then (k % 5 == 0) then random(0.25)) score "
     "softcap(s, 3.0) score alibi(s) }"},
};

std::vector<SequenceCase> all_cases() {
  std::vector<SequenceCase> all(std::begin(kCases), std::end(kCases));
  for (SequenceCase& of_scorer : testing::scorer_cases(kHeadDim))
    all.push_back(std::move(of_scorer));
  return all;
}

class DeviceSelection : public ::testing::TestWithParam<SequenceCase> {
 protected:
  // `i`: which element type this case takes.
  static Problem problem(int i) {
    constexpr ElementType kTypes[] = {ElementType::F32, ElementType::BF16, ElementType::F16};
    Problem p = testing::scorer_problem(GetParam(), 2, 1, kHeadDim);
    p.head_dim_v = 8;
    p.type = kTypes[(GetParam().attention.size() + static_cast<size_t>(i)) % 3];
    p.weights = false;
    return p;
  }
};

TEST_P(DeviceSelection, Decoding) {
  const Engine engine(on_emulator("nvptx/select_decode"));
  Problem p = problem(0);
  p.batch = 2;
  p.q_len = 2;
  p.layout = Layout::RowsFirst;
  testing::expect_reference(engine, p);
}

TEST_P(DeviceSelection, Prefill) {
  const Engine engine(on_emulator("nvptx/select_forward"));
  Problem p = problem(1);
  p.q_len = 9;
  testing::expect_reference(engine, p);
}

// Sanitizers see the emulator and the launch, not the kernel: a sample is enough for them.
std::vector<SequenceCase> cases() {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  constexpr size_t kStride = 6;
#else
  constexpr size_t kStride = 1;
#endif
  const std::vector<SequenceCase> all = all_cases();
  std::vector<SequenceCase> taken;
  for (size_t i = 0; i < all.size(); i += kStride) taken.push_back(all[i]);
  return taken;
}

INSTANTIATE_TEST_SUITE_P(All, DeviceSelection, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

// Sequences of random stages over rows that end around words, groups and tiles.
TEST(DeviceSelections, RandomSequences) {
  constexpr const char* kStages[] = {"sink(3)",
                                     "local(7)",
                                     "(k % 5 == 1)",
                                     "top_k(6)",
                                     "top_k(20%)",
                                     "top_p(0.5)",
                                     "random(0.3)",
                                     "top_k(9, by = page_bound(4, min_pages = 1))",
                                     "magic_pig(tables = 6, bits = 3)",
                                     "top_k(5, by = page_bound(3, bits = 8))",
                                     "adaptive(base = 20%, epsilon = 0.3, delta = 0.3)"};
  const Engine engine(on_emulator());
  std::mt19937 random(17);
  for (const int64_t kv_len : {1, 31, 33, 63, 65, 127, 129, 257, 513}) {
    std::string spec = "masker main() = causal() & (";
    const size_t count = 2 + random() % 3;
    for (size_t i = 0; i < count; ++i)
      spec += std::string(i == 0 ? "" : " then ") + kStages[random() % std::size(kStages)];
    SCOPED_TRACE(spec + ") of " + std::to_string(kv_len) + " keys");
    testing::expect_reference(engine, {.spec = spec + ")",
                                       .num_heads = 2,
                                       .q_len = kv_len % 3 == 0 ? 10 : 1,
                                       .kv_len = kv_len,
                                       .head_dim = 24,
                                       .head_dim_v = 8,
                                       .weights = false,
                                       .sampling = {.seed = random()}});
  }
}

// Dense weights and the maximum over all keys, with a mask that excludes by its lowest number.
TEST(DeviceSelections, DenseResults) {
  const Engine engine(on_emulator());
  const std::vector<SequenceCase> all = all_cases();
  for (const char* name : {"Adaptive", "Weights", "Pages", "MagicPig"}) {
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const SequenceCase& c) { return c.name == name; });
    ASSERT_NE(found, all.end()) << name;
    SCOPED_TRACE(name);
    Problem p = testing::scorer_problem(*found, 2, 1, kHeadDim);
    p.q_len = 2;
    p.kv_len = 90;
    p.head_dim_v = 8;
    p.additive = ElementType::F32;
    p.additive_is_finite = found->name.size() % 2 == 0;
    p.row_max_over_all = true;
    testing::expect_reference(engine, p);
  }
}

TEST(DeviceSelections, DropoutAndAdditiveMasks) {
  const Engine engine(on_emulator());
  for (const int64_t q_len : {1, 11}) {
    testing::expect_reference(
        engine, {.spec = "masker main() = causal() & (sink(4) then top_k(9) then random(0.4))",
                 .num_heads = 2,
                 .q_len = q_len,
                 .head_dim = kHeadDim,
                 .additive = q_len == 1 ? ElementType::F32 : ElementType::Bool,
                 .dropout = Dropout{.seed = 3, .probability = 0.3, .renormalise = q_len == 1},
                 .weights = false});
  }
}

// Ties go to the lower key, whatever the length of the row; channels of no group of eight.
TEST(DeviceSelections, EqualScores) {
  const Engine engine(on_emulator());
  for (const int64_t kv_len : {5, 128, 1000}) {
    for (const char* sequence : {"top_k(3)", "(k % 3 == 1) & top_k(40%)"}) {
      testing::expect_reference(engine, {.spec = std::string("masker main() = ") + sequence,
                                         .q_len = 1,
                                         .kv_len = kv_len,
                                         .head_dim = 7,
                                         .head_dim_v = 5,
                                         .scale = 0.0f,
                                         .weights = false});
    }
  }
}

// Keys are split, the list of a row is longer than a round of the block, and weights meet.
TEST(DeviceSelections, LongRows) {
  const Engine engine(on_emulator());
  testing::expect_reference(
      engine, {.spec = "masker main() = causal() & (sink(16) then local(64) then top_k(5%) then "
                       "adaptive(base = 2%, epsilon = 0.1, delta = 0.1))",
               .num_heads = 2,
               .q_len = 1,
               .kv_len = 20001,
               .head_dim = kHeadDim,
               .head_dim_v = kHeadDim,
               .type = ElementType::BF16,
               .weights = false});
}

// Tensors in device memory: the index is made of copies of the keys, or given.
TEST(DeviceSelections, DeviceMemory) {
  const Engine engine(on_emulator());
  const auto attention =
      engine.load_text("masker main() = sink(2) then top_k(12, by = page_bound(4))")->bind();
  Tensor q(ElementType::F32, {1, 2, 1, 16}), k(ElementType::F32, {1, 1, 100, 16});
  for (int64_t i = 0; i < q.size(); ++i) q.set(i, std::sin(static_cast<double>(i) * 0.7));
  for (int64_t i = 0; i < k.size(); ++i) k.set(i, std::sin(static_cast<double>(i) * 1.3));
  Tensor expected(ElementType::F32, {1, 2, 1, 16});
  AttentionInputs inputs = {.query = q.view(), .key = k.view(), .value = k.view()};
  ASSERT_TRUE(attention->run(inputs, {.output = expected.view()}));
  const auto index = attention->make_index(inputs);
  ASSERT_TRUE(index) << index.error().message;

  device::Device& device = *engine.device();
  std::vector<device::Buffer> buffers;
  const auto on_device = [&](const Tensor& tensor) {
    const auto bytes = static_cast<size_t>(tensor.size()) * sizeof(float);
    buffers.push_back(std::move(*device.allocate(bytes, {})));
    TensorView view = tensor.view();
    EXPECT_TRUE(device.copy_in(buffers.back().address(),
                               {static_cast<const std::byte*>(view.data), bytes}, {}));
    view.data = reinterpret_cast<void*>(buffers.back().address());
    return view;
  };
  inputs.query = on_device(q);
  inputs.key = inputs.value = on_device(k);
  inputs.memory = MemorySpace::Device;
  const TensorView output = on_device(expected);
  for (const bool given : {false, true}) {
    if (given) inputs.index = *index;
    ASSERT_TRUE(device.fill_bytes(buffers.back().address(), 0, buffers.back().bytes(), {}));
    const Status done = attention->run(inputs, {.output = output});
    ASSERT_TRUE(done) << done.error().message;
    std::vector<float> values(static_cast<size_t>(expected.size()));
    ASSERT_TRUE(
        device.copy_out(std::as_writable_bytes(std::span(values)), buffers.back().address(), {}));
    for (int64_t i = 0; i < expected.size(); ++i)
      EXPECT_EQ(static_cast<double>(values[static_cast<size_t>(i)]), expected.at(i));
  }
}

TEST(DeviceSelections, AnIndexOfOtherKeysIsRefused) {
  const Engine engine(on_emulator());
  const auto attention = engine.load_text("masker main() = top_k(8, by = page_bound(4))")->bind();
  Tensor q(ElementType::F32, {1, 2, 1, 8}), k(ElementType::F32, {1, 1, 50, 8}),
      longer(ElementType::F32, {1, 1, 51, 8});
  AttentionInputs inputs = {.query = q.view(), .key = k.view(), .value = k.view()};
  inputs.index = *attention->make_index(inputs);
  inputs.key = inputs.value = longer.view();
  const Status done = attention->run(inputs, {.output = q.view()});
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("the index has 50 keys"), std::string::npos)
      << done.error().message;
}

}  // namespace
}  // namespace maskjit
