// Attention on the emulator as a device: everything that an engine for a GPU does.
#include "runtime/device/emulated/emulated_device.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/runtime/engine/problem.h"

namespace maskjit::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

EngineOptions options(const std::string& target = "sm_80") {
  EngineOptions options = memory_only();
  options.device = "emulator";
  options.target = target;
  return options;
}

const Engine& engine() {
  static const Engine instance(options());
  return instance;
}

Problem problem(Problem p) {
  p.weights = false;
  return p;
}

TEST(EmulatedDevice, TypesLayoutsAndGroups) {
  for (const ElementType type : {ElementType::F32, ElementType::F16, ElementType::BF16}) {
    for (const Layout layout : {Layout::HeadsFirst, Layout::RowsFirst, Layout::Padded}) {
      expect_reference(
          engine(),
          problem({.batch = 2, .num_heads = 4, .num_kv_heads = 2, .type = type, .layout = layout}));
    }
  }
  expect_reference(engine(), problem({.head_dim = 40, .head_dim_v = 24}));
  expect_reference(engine(), problem({.q_len = 1, .kv_len = 300, .type = ElementType::BF16}));
}

TEST(EmulatedDevice, EveryTargetRunsItsCode) {
  for (const std::string& target : codegen::Target::device_names()) {
    SCOPED_TRACE(target);
    const Engine other(options(target));
    expect_reference(other, problem({.type = ElementType::BF16}));
  }
}

TEST(EmulatedDevice, MasksScoresAndRuntimeParameters) {
  const std::string spec =
      "attention main(runtime window: int = 9, runtime cap: float) { mask local(window) score cap "
      "* tanh(s / cap) }";
  for (const int64_t window : {1, 9, 64}) {
    expect_reference(engine(),
                     problem({.spec = spec, .runtime = {{"window", window}, {"cap", 1.5}}}));
  }
  const std::string baked =
      "masker main(n: int = 4, share: int = 10%) = causal() & (sink(n) | local(share))";
  expect_reference(engine(), problem({.spec = baked, .baked = {{"share", Share{0.5}}}}));
  expect_reference(engine(), problem({.spec = baked, .scale = -0.25f, .q_offset = -20}));
  expect_reference(engine(), problem({.spec = "masker main() = none()"}));
  expect_reference(engine(), problem({.q_len = 50, .kv_len = 20}));
}

TEST(EmulatedDevice, AdditiveMasks) {
  for (const ElementType type :
       {ElementType::Bool, ElementType::F32, ElementType::F16, ElementType::BF16}) {
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{2, 2, 33, 70}, {1, 1, 1, 70}, {2, 1, 33, 75}}) {
      expect_reference(engine(), problem({.batch = 2, .additive = type, .additive_shape = shape}));
    }
  }
}

TEST(EmulatedDevice, TensorsWithStridesAndSummaries) {
  const std::string spec =
      "masker main(doc: tensor<i32>[batch, kv_len]) = doc[batch, q] == doc[batch, k] & causal()";
  for (const int64_t batch_extent : {2, 1}) {
    Problem p = problem({.spec = spec, .batch = 2, .q_len = 200, .kv_len = 200});
    Tensor doc(ElementType::I32, {batch_extent, 200});
    for (int64_t i = 0; i < doc.size(); ++i) doc.set(i, static_cast<double>(i / 70));
    p.tensors.emplace("doc", std::move(doc));
    expect_reference(engine(), p);
  }
  Problem p = problem({.spec = "attention main(bias: tensor<f32>[num_heads, kv_len]) { mask "
                               "causal() score s + bias[head, k] }"});
  Tensor bias(ElementType::F32, {p.num_heads, p.kv_len});
  for (int64_t i = 0; i < bias.size(); ++i) bias.set(i, std::sin(static_cast<double>(i)));
  p.tensors.emplace("bias", std::move(bias));
  expect_reference(engine(), p);
}

TEST(EmulatedDevice, ExplicitMasksWithWeights) {
  const std::string spec =
      "attention main(m: tensor<bit>[batch, num_heads, q_len, kv_len]) { mask explicit(m) }";
  for (const bool weighted : {false, true}) {
    Tensor entries(weighted ? ElementType::F32 : ElementType::Bool, {1, 2, 130, 200});
    for (int64_t i = 0; i < entries.size(); ++i) {
      const bool active = i % 200 / 64 != 1 && i * 2654435761U % 7 < 3;
      entries.set(i, !active ? 0 : weighted ? static_cast<double>(i % 16 + 1) / 16 : 1);
    }
    const Mask mask = *Mask::from_dense(entries.view());
    expect_reference(engine(),
                     problem({.spec = spec, .q_len = 130, .kv_len = 200, .masks = {{"m", mask}}}));
  }
  expect_reference(engine(),
                   problem({.spec = spec, .masks = {{"m", *Mask::full({1, 2, 33, 70})}}}));
  expect_reference(engine(),
                   problem({.spec = spec, .masks = {{"m", *Mask::empty({1, 1, 33, 70})}}}));
}

TEST(EmulatedDevice, DropoutAndDenseResults) {
  expect_reference(engine(), problem({.dropout = Dropout{7, 1, 0.3, false}}));
  expect_reference(engine(), problem({.dropout = Dropout{7, 1, 0.3, true}}));
  expect_reference(engine(), {.row_max_over_all = true});
}

TEST(EmulatedDevice, DeviceTensorsWithSummariesAndOffsets) {
  // The i32 tensor is a column of a table, read backwards, in device memory.
  constexpr int64_t kKeys = 200;
  const auto attention =
      *engine().load_text("masker main(x: tensor<i32>[kv_len]) = x[k] >= 90 & x[k] < 150")->bind();
  device::Device& device = *engine().device();
  std::vector<int32_t> table(3 * kKeys, -1);
  for (int64_t k = 0; k < kKeys; ++k)
    table[static_cast<size_t>(3 * k)] = static_cast<int32_t>(kKeys - 1 - k);
  const std::vector<float> zeros(kKeys * 16, 0.0f);
  const auto put = [&](const auto& values) {
    auto buffer = device.allocate(values.size() * sizeof(values[0]), {});
    EXPECT_TRUE(buffer && device.copy_in(buffer->address(), std::as_bytes(std::span(values)), {}));
    return std::move(*buffer);
  };
  const auto at = [](device::Address address) { return reinterpret_cast<void*>(address); };
  const device::Buffer x = put(table), k = put(zeros), sums = put(std::vector<float>(40, -1));
  AttentionInputs inputs;
  inputs.query = TensorView::contiguous(at(k.address()), ElementType::F32, {1, 1, 40, 16});
  inputs.key = inputs.value =
      TensorView::contiguous(at(k.address()), ElementType::F32, {1, 1, kKeys, 16});
  TensorView view;
  view.data = at(x.address() + 3 * (kKeys - 1) * sizeof(int32_t));
  view.type = ElementType::I32;
  view.shape = {kKeys};
  view.strides = {-3};
  inputs.tensors.emplace("x", view);
  inputs.memory = MemorySpace::Device;
  const TensorView denominator =
      TensorView::contiguous(at(sums.address()), ElementType::F32, {1, 1, 40});
  const Status done = attention.run(inputs, {.denominator = denominator});
  ASSERT_TRUE(done) << done.error().message;
  std::vector<float> got(40);
  ASSERT_TRUE(device.copy_out(std::as_writable_bytes(std::span(got)), sums.address(), {}));
  EXPECT_THAT(got, ::testing::Each(60.0f));
}

TEST(EmulatedDevice, NothingIsLeftInItsMemory) {
  const Engine fresh(options());
  auto& device = static_cast<emulated::EmulatedDevice&>(*fresh.device());
  expect_reference(fresh, problem({.q_len = 1, .kv_len = 200}));
  EXPECT_EQ(device.allocations(), 0u);
  device.keep_reports();
  expect_reference(fresh, problem({}));
  const auto reports = device.take_reports();
  ASSERT_FALSE(reports.empty());
  EXPECT_EQ(reports[0].entry, "mj_attention");
  EXPECT_GT(reports[0].counts.warp_instructions, 0u);
  EXPECT_TRUE(device.take_reports().empty());
}

TEST(EmulatedDevice, InfoAndKindsOfMemory) {
  const auto attention = *engine().load_text("", "causal")->bind();
  Tensor q(ElementType::F32, {1, 1, 100, 16});
  for (int64_t i = 0; i < q.size(); ++i) q.set(i, 0);
  AttentionInputs inputs{.query = q.view(), .key = q.view(), .value = q.view()};
  Tensor output(ElementType::F32, {1, 1, 100, 16});
  const auto info = attention.prepare(inputs, {.output = output.view()});
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->target, "sm_80");
  EXPECT_EQ(info->template_name, "nvptx/attention_forward");
  EXPECT_GT(info->work_items, 0);

  const Engine host(memory_only());
  const auto on_host = *host.load_text("", "causal")->bind();
  inputs.memory = MemorySpace::Device;
  EXPECT_EQ(on_host.run(inputs, {.output = output.view()}).error().message,
            "the call's tensors are in device memory, but the engine has no device");
  EXPECT_EQ(host.device(), nullptr);
}

// Memory that is not the device's is found by the emulator.
TEST(EmulatedDevice, HostTensorsGivenAsDeviceTensorsAreAFault) {
  const auto attention = *engine().load_text("", "causal")->bind();
  Tensor q(ElementType::F32, {1, 1, 32, 16});
  for (int64_t i = 0; i < q.size(); ++i) q.set(i, 0);
  AttentionInputs inputs{.query = q.view(), .key = q.view(), .value = q.view()};
  inputs.memory = MemorySpace::Device;
  Tensor output(ElementType::F32, {1, 1, 32, 16});
  const Status done = attention.run(inputs, {.output = output.view()});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, AllOf(HasSubstr("emulator (sm_80): out of bounds"),
                                          HasSubstr("kernel mj_attention")));
}

TEST(EmulatedDevice, RefusalsAreSaid) {
  const auto message = [](EngineOptions wrong) {
    const auto spec = Engine(wrong).load_text("", "causal");
    return spec ? "" : spec.error().message;
  };
  EngineOptions wrong = options("sm_75");
  EXPECT_THAT(message(wrong), HasSubstr("there is no device target 'sm_75'"));
  wrong = options("x86-64");
  EXPECT_THAT(message(wrong), HasSubstr("there is no device target 'x86-64'"));
  wrong = options();
  wrong.device = "emulater";
  EXPECT_THAT(message(wrong), HasSubstr("there is no device 'emulater'; emulator, cuda"));
  wrong = options();
  wrong.only_template = "host/attention_forward";
  EXPECT_THAT(message(wrong), HasSubstr("there is no template 'host/attention_forward'"));
  EngineOptions gpu_on_host = memory_only();
  gpu_on_host.target = "sm_80";
  EXPECT_EQ(message(gpu_on_host), "'sm_80' is a GPU: give a device (emulator, cuda) for it");

  const auto masked = *engine().load_text("", "explicit")->bind();
  Tensor q(ElementType::F32, {1, 1, 8, 16});
  AttentionInputs inputs{.query = q.view(), .key = q.view(), .value = q.view()};
  Tensor mask(ElementType::Bool, {1, 1, 8, 8});
  inputs.tensors.emplace("m", mask.view());
  inputs.memory = MemorySpace::Device;
  EXPECT_EQ(masked.run(inputs, {.output = q.view()}).error().message,
            "tensor 'm' is an explicit mask in device memory: give it as a Mask");
  EXPECT_EQ(masked.make_index(inputs).error().message, "an index is made of keys in host memory");
}

}  // namespace
}  // namespace maskjit::testing
