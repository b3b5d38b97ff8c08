// Attention on a CUDA device through the public API: on the fake driver of the test binary, or on a
// GPU (label cuda) where there is one.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <thread>

#include "runtime/api/environment.h"
#include "runtime/device/cuda/cuda_device.h"
#include "runtime/device/open.h"
#include "tests/runtime/cache/support.h"
#include "tests/runtime/cuda/fake_cuda.h"
#include "tests/runtime/engine/problem.h"

namespace maskjit::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kLibrary = MASKJIT_TEST_LIBCUDA;

class Cuda : public ::testing::Test {
 protected:
  void SetUp() override {
    if (void* library = *kLibrary == '\0' ? nullptr : ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL)) {
      reinterpret_cast<cuda::testing::FakeCudaFunction*>(::dlsym(library, "maskjit_fake_cuda"))()
          ->reset({});
    }
    const auto driver = cuda::Driver::load(kLibrary);
    if (!driver) GTEST_SKIP() << driver.error().message;
    driver_ = *driver;
    ::setenv("MASKJIT_LIBCUDA", kLibrary, 1);
  }
  static EngineOptions options(const std::string& device = "cuda") {
    EngineOptions options = memory_only();
    options.device = device;
    return options;
  }
  template <typename F>
  F* function(const char* name, int version) const {
    return reinterpret_cast<F*>(driver_->find(name, version));
  }
  std::shared_ptr<const cuda::Driver> driver_;
};

// Tensors of a call in device memory.
struct OnDevice {
  OnDevice(device::Device& of, device::Stream in) : device(of), stream(in) {}
  TensorView put(const Tensor& tensor) {
    const TensorView& host = tensor.view();
    const auto bytes = static_cast<size_t>(host.elements() * size_of(host.type));
    auto buffer = device.allocate(bytes, stream);
    EXPECT_TRUE(buffer) << buffer.error().message;
    const std::span<const std::byte> from(static_cast<const std::byte*>(host.data), bytes);
    EXPECT_TRUE(device.copy_in(buffer->address(), from, stream));
    TensorView view = host;
    view.data = reinterpret_cast<void*>(buffer->address());
    buffers.push_back(std::move(*buffer));
    return view;
  }
  void get(const TensorView& view, Tensor& tensor) {
    const auto bytes = static_cast<size_t>(view.elements() * size_of(view.type));
    const std::span<std::byte> to(static_cast<std::byte*>(tensor.view().data), bytes);
    const auto address = reinterpret_cast<device::Address>(view.data);
    const Status done = device.copy_out(to, address, stream);
    EXPECT_TRUE(done) << done.error().message;
  }
  device::Device& device;
  device::Stream stream;
  std::vector<device::Buffer> buffers;
};

Tensor random_tensor(std::vector<int64_t> shape, unsigned seed) {
  Tensor tensor(ElementType::F16, std::move(shape));
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  for (int64_t i = 0; i < tensor.size(); ++i) tensor.set(i, normal(random));
  return tensor;
}

// The same call on the CPU.
std::vector<double> on_host(const std::string& spec, const Tensor& q, const Tensor& k,
                            const Tensor& v) {
  const auto attention = *Engine(memory_only()).load_text(spec)->bind();
  std::vector<int64_t> shape = q.view().shape;
  Tensor output(ElementType::F16, shape);
  const Status done = attention.run({.query = q.view(), .key = k.view(), .value = v.view()},
                                    {.output = output.view()});
  EXPECT_TRUE(done) << done.error().message;
  return output.values();
}

TEST_F(Cuda, AttentionOfHostTensorsIsThatOfTheReference) {
  const Engine engine(options());
  for (const ElementType type : {ElementType::F32, ElementType::F16, ElementType::BF16}) {
    expect_reference(engine, {.batch = 2, .type = type, .weights = false});
    expect_reference(engine, {.q_len = 1, .kv_len = 130, .type = type, .weights = false});
  }
  expect_reference(engine, {.spec = "masker main() = causal() & (sink(4) | local(20))",
                            .q_len = 150,
                            .kv_len = 150,
                            .layout = Layout::Padded,
                            .additive = ElementType::F32,
                            .weights = false});
}

TEST_F(Cuda, DeviceTensorsStayThere) {
  const Engine engine(options());
  const std::string spec = "masker main() = causal()";
  const auto loaded = engine.load_text(spec);
  ASSERT_TRUE(loaded) << loaded.error().message;
  const auto attention = *loaded->bind();
  device::Device& device = *engine.device();
  const auto stream = device.create_stream();
  ASSERT_TRUE(stream);
  OnDevice memory(device, stream->get());
  const Tensor q = random_tensor({1, 2, 70, 32}, 1), k = random_tensor({1, 1, 70, 32}, 2),
               v = random_tensor({1, 1, 70, 32}, 3);
  Tensor output(ElementType::F16, {1, 2, 70, 32});
  AttentionInputs inputs{.query = memory.put(q), .key = memory.put(k), .value = memory.put(v)};
  inputs.memory = MemorySpace::Device;
  inputs.stream = stream->get().handle;
  const TensorView result = memory.put(output);
  const Status done = attention.run(inputs, {.output = result});
  ASSERT_TRUE(done) << done.error().message;
  memory.get(result, output);
  const std::vector<double> want = on_host(spec, q, k, v), got = output.values();
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 4e-3) << i;

  // Events order another stream behind it.
  const auto other = device.create_stream();
  const auto before = device.create_event(), after = device.create_event();
  ASSERT_TRUE(other && before && after);
  ASSERT_TRUE(device.record(**before, stream->get()));
  ASSERT_TRUE(attention.run(inputs, {.output = result}));
  ASSERT_TRUE(device.record(**after, stream->get()));
  ASSERT_TRUE(device.wait(other->get(), **after));
  ASSERT_TRUE(device.synchronise(other->get()));
  EXPECT_GE(*device.milliseconds(**before, **after), 0.0);
}

TEST_F(Cuda, ResultsWithoutKeysInDeviceMemory) {
  const Engine engine(options());
  const auto attention = *engine.load_text("", "causal")->bind();
  OnDevice memory(*engine.device(), {});
  const Tensor q = random_tensor({1, 2, 3, 8}, 1);
  Tensor output(ElementType::F16, {1, 2, 3, 8}), lse(ElementType::F32, {1, 2, 3});
  for (int64_t i = 0; i < output.size(); ++i) output.set(i, 1);
  const TensorView out = memory.put(output), lse_out = memory.put(lse);
  AttentionInputs inputs;
  inputs.query = memory.put(q);
  inputs.key = inputs.value = TensorView::contiguous(nullptr, ElementType::F16, {1, 1, 0, 8});
  inputs.memory = MemorySpace::Device;
  const Status done = attention.run(inputs, {.output = out, .lse = lse_out});
  ASSERT_TRUE(done) << done.error().message;
  memory.get(out, output);
  memory.get(lse_out, lse);
  EXPECT_THAT(output.values(), ::testing::Each(0.0));
  EXPECT_THAT(lse.values(), ::testing::Each(-INFINITY));
}

// A launch is captured in a graph and replayed on new contents of the same tensors.
TEST_F(Cuda, LaunchesAreCapturedInGraphs) {
  using namespace cuda;
#define FIND(name, version, ...) const auto name = function<__VA_ARGS__>(#name, version);
  MASKJIT_CUDA_GRAPH_FUNCTIONS(FIND)
#undef FIND
  ASSERT_NE(cuGraphInstantiateWithFlags, nullptr);
  const Engine engine(options());
  device::Device& device = *engine.device();
  const auto attention = *engine.load_text("", "causal")->bind();
  const auto stream = device.create_stream();
  ASSERT_TRUE(stream);
  const auto handle = static_cast<CUstream>(stream->get().handle);
  for (const int64_t q_len : {40, 1}) {  // of the kernels for many and for few query rows
    OnDevice memory(device, stream->get());
    // The latter splits the keys and merges the parts, which takes a workspace.
    const int64_t kv_len = q_len == 1 ? 1500 : 40;
    const Tensor q = random_tensor({1, 2, q_len, 32}, 1), k = random_tensor({1, 2, kv_len, 32}, 2),
                 v = random_tensor({1, 2, kv_len, 32}, 3);
    Tensor output(ElementType::F16, {1, 2, q_len, 32});
    AttentionInputs inputs{.query = memory.put(q), .key = memory.put(k), .value = memory.put(v)};
    inputs.memory = MemorySpace::Device;
    inputs.stream = stream->get().handle;
    const TensorView result = memory.put(output);
    ASSERT_TRUE(attention.prepare(inputs, {.output = result}));
    ASSERT_TRUE(device.synchronise(stream->get()));

    auto& cuda_device = static_cast<CudaDevice&>(device);
    const DriverApi& api = driver_->api();
    ASSERT_EQ(api.cuCtxPushCurrent(cuda_device.context()), CUDA_SUCCESS);
    CUgraph graph = nullptr;
    CUgraphExec executable = nullptr;
    ASSERT_EQ(cuStreamBeginCapture(handle, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), CUDA_SUCCESS);
    const Status done = attention.run(inputs, {.output = result});
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_EQ(cuStreamEndCapture(handle, &graph), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_SUCCESS);
    for (const unsigned seed : {11U, 12U}) {
      const Tensor fresh = random_tensor({1, 2, q_len, 32}, seed);
      const std::span<const std::byte> from(static_cast<const std::byte*>(fresh.view().data),
                                            static_cast<size_t>(fresh.size() * 2));
      ASSERT_TRUE(device.copy_in(reinterpret_cast<device::Address>(inputs.query.data), from,
                                 stream->get()));
      ASSERT_EQ(cuGraphLaunch(executable, handle), CUDA_SUCCESS);
      memory.get(result, output);
      const std::vector<double> want = on_host("masker main() = causal()", fresh, k, v),
                                got = output.values();
      for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 4e-3) << i;
    }
    EXPECT_EQ(cuGraphExecDestroy(executable), CUDA_SUCCESS);
    EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
    CUcontext popped = nullptr;
    EXPECT_EQ(api.cuCtxPopCurrent(&popped), CUDA_SUCCESS);
    EXPECT_EQ(popped, cuda_device.context());
  }
}

// What waits for a stream breaks its capture: such calls are refused before.
TEST_F(Cuda, CapturesRefuseCallsThatTheHostReadsFor) {
  using namespace cuda;
#define FIND(name, version, ...) \
  [[maybe_unused]] const auto name = function<__VA_ARGS__>(#name, version);
  MASKJIT_CUDA_GRAPH_FUNCTIONS(FIND)
#undef FIND
  const Engine engine(options());
  device::Device& device = *engine.device();
  const auto attention = *engine
                              .load_text(
                                  "masker main(document: tensor<i32>[batch, kv_len]) ="
                                  " document[batch, q] == document[batch, k]")
                              ->bind();
  const auto stream = device.create_stream();
  ASSERT_TRUE(stream);
  OnDevice memory(device, stream->get());
  const Tensor q = random_tensor({1, 1, 40, 32}, 1);
  Tensor output(ElementType::F16, {1, 1, 40, 32}), document(ElementType::I32, {1, 40});
  for (int64_t i = 0; i < 40; ++i) document.set(i, static_cast<double>(i / 10));
  AttentionInputs inputs{.query = memory.put(q), .key = memory.put(q), .value = memory.put(q)};
  inputs.tensors = {{"document", memory.put(document)}};
  inputs.memory = MemorySpace::Device;
  inputs.stream = stream->get().handle;
  const TensorView result = memory.put(output);
  ASSERT_TRUE(attention.run(inputs, {.output = result}));
  EXPECT_FALSE(*device.is_capturing(stream->get()));

  auto& cuda_device = static_cast<CudaDevice&>(device);
  const DriverApi& api = driver_->api();
  ASSERT_EQ(api.cuCtxPushCurrent(cuda_device.context()), CUDA_SUCCESS);
  const auto handle = static_cast<CUstream>(stream->get().handle);
  CUgraph graph = nullptr;
  ASSERT_EQ(cuStreamBeginCapture(handle, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), CUDA_SUCCESS);
  EXPECT_TRUE(*device.is_capturing(stream->get()));
  const Status done = attention.run(inputs, {.output = result});
  EXPECT_EQ(cuStreamEndCapture(handle, &graph), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  CUcontext popped = nullptr;
  EXPECT_EQ(api.cuCtxPopCurrent(&popped), CUDA_SUCCESS);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::Unsupported);
  EXPECT_EQ(done.error().message,
            "the host reads 'document' at each call: such a call cannot be captured in a graph");
  EXPECT_TRUE(attention.run(inputs, {.output = result}));
}

// The cache keeps PTX, machine code and what it takes, where there is a ptxas.
TEST_F(Cuda, TheCacheKeepsMachineCode) {
  const auto ptxas = assembler::find_tool(read_environment().cuda_tools, "ptxas");
  if (!ptxas) GTEST_SKIP() << ptxas.error().message;
  const cache::testing::TemporaryDirectory directory;
  EngineOptions cached = options();
  cached.cache_mode = CacheMode::ReadWrite;
  cached.cache_directory = directory.path();
  const Tensor q = random_tensor({1, 1, 40, 32}, 1);
  Tensor output(ElementType::F16, {1, 1, 40, 32});
  const AttentionInputs inputs{.query = q.view(), .key = q.view(), .value = q.view()};
  std::string key;
  for (const char* origin : {"compiled", "disk"}) {
    const Engine engine(cached);
    const auto attention = *engine.load_text("", "causal")->bind();
    const auto info = attention.prepare(inputs, {.output = output.view()});
    ASSERT_TRUE(info) << info.error().message;
    EXPECT_EQ(info->origin, origin);
    key = info->key;
  }
  cache::DiskStore store({directory.path(), codegen::build_id()}, Log());
  const auto artifact = store.read(*cache::key_of_hex(key));
  ASSERT_TRUE(artifact);
  EXPECT_THAT(artifact->object, HasSubstr(".visible .entry mj_attention"));
  EXPECT_THAT(artifact->cubin, ::testing::StartsWith("\x7f"
                                                     "ELF"));
  ASSERT_FALSE(artifact->resources.empty());
  EXPECT_EQ(artifact->resources[0].entry, "mj_attention");
  EXPECT_GT(artifact->resources[0].registers, 16);
}

TEST_F(Cuda, ThreadsShareAnEngine) {
  const Engine engine(options());
  const std::string spec = "masker main() = causal()";
  const auto attention = *engine.load_text(spec)->bind();
  const Tensor q = random_tensor({1, 2, 33, 32}, 1), k = random_tensor({1, 2, 33, 32}, 2),
               v = random_tensor({1, 2, 33, 32}, 3);
  const std::vector<double> want = on_host(spec, q, k, v);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const auto stream = engine.device()->create_stream();
      ASSERT_TRUE(stream);
      AttentionInputs inputs{.query = q.view(), .key = k.view(), .value = v.view()};
      inputs.stream = stream->get().handle;
      Tensor output(ElementType::F16, {1, 2, 33, 32});
      const Status done = attention.run(inputs, {.output = output.view()});
      ASSERT_TRUE(done) << done.error().message;
      const std::vector<double> got = output.values();
      for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 4e-3) << i;
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(Cuda, EveryDeviceComputes) {
  for (int i = 0; i < driver_->device_count(); ++i) {
    const Engine engine(options("cuda:" + std::to_string(i)));
    ASSERT_NE(engine.device(), nullptr);
    expect_reference(engine, {.type = ElementType::F16, .weights = false});
  }
}

TEST_F(Cuda, TheContextOfTheCallerStays) {
  cuda::CUcontext before = nullptr, after = nullptr;
  ASSERT_EQ(driver_->api().cuCtxGetCurrent(&before), cuda::CUDA_SUCCESS);
  {
    const Engine engine(options());
    expect_reference(engine, {.type = ElementType::F16, .weights = false});
  }
  ASSERT_EQ(driver_->api().cuCtxGetCurrent(&after), cuda::CUDA_SUCCESS);
  EXPECT_EQ(before, after);
}

TEST_F(Cuda, ADeviceThatIsNotThereIsSaidByEveryLoad) {
  const Engine engine(options("cuda:99"));
  EXPECT_EQ(engine.device(), nullptr);
  EXPECT_THAT(engine.load_text("", "causal").error().message,
              HasSubstr("there is no cuda:99: the driver knows "));
}

}  // namespace
}  // namespace maskjit::testing
