// Each call to the driver that fails, contexts, machine code and logs.
#include <set>

#include "tests/runtime/cuda/fixture.h"

namespace maskjit::cuda::testing {
namespace {

using device::Stream;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::unique_ptr<CudaDevice> open_device(const FakeSettings& settings = {}) {
  fake().reset(settings);
  const auto driver = Driver::load(MASKJIT_TEST_LIBCUDA);
  EXPECT_TRUE(driver);
  auto device = CudaDevice::open(*driver, 0);
  EXPECT_TRUE(device);
  return std::move(*device);
}

// Everything that a device does; the first error, empty if there is none.
std::string everything(const std::string& library) {
  const auto driver = Driver::load(library);
  if (!driver) return driver.error().message;
  auto opened = CudaDevice::open(*driver, 0);
  if (!opened) return opened.error().message;
  device::Device& device = **opened;
  const auto text = [](const auto& result) {
    return result.ok() ? std::string() : result.error().message;
  };
  const auto stream = device.create_stream();
  if (!stream) return text(stream);
  const auto begin = device.create_event(), end = device.create_event();
  if (!begin || !end) return text(begin) + text(end);
  const auto kernel = device.load(add_one());
  if (!kernel) return text(kernel);
  auto x = device.allocate(256, stream->get()), y = device.allocate(256, stream->get());
  if (!x || !y) return text(x) + text(y);
  std::vector<uint32_t> values(64, 7);
  const AddOneArgs args{x->address(), y->address()};
  for (const Status& done :
       {device.copy_in(x->address(), std::as_bytes(std::span(values)), stream->get()),
        device.fill_bytes(y->address(), 0, 128, stream->get()),
        device.fill_words(y->address() + 128, 5, 32, stream->get()),
        device.record(**begin, stream->get()),
        device.launch(**kernel, {"add_one", 2, 32, 0}, std::as_bytes(std::span(&args, 1)),
                      stream->get()),
        device.record(**end, stream->get()), device.wait(stream->get(), **end),
        device.synchronise(stream->get()),
        device.copy_out(std::as_writable_bytes(std::span(values)), y->address(), stream->get())}) {
    if (!done) return done.error().message;
  }
  if (values != std::vector<uint32_t>(64, 8)) return "wrong values";
  const auto capturing = device.is_capturing(stream->get());
  if (!capturing) return text(capturing);
  return text(device.milliseconds(**begin, **end));
}

void expect_nothing_is_left() {
  for (const char* what : {"contexts", "allocations", "modules", "streams", "events", "pools"}) {
    EXPECT_EQ(fake().live(what), 0) << what;
  }
}

TEST(CudaFaults, WorksWithoutOne) {
  fake().reset({});
  EXPECT_EQ(everything(MASKJIT_TEST_LIBCUDA), "");
  expect_nothing_is_left();
  EXPECT_TRUE(fake().contexts().empty());
}

TEST(CudaFaults, EveryCallThatFailsIsSaidAndLeavesTheContext) {
  // What tidies up has nobody to tell.
  const std::set<std::string> silent = {
      "cuCtxPopCurrent", "cuCtxSynchronize", "cuModuleUnload",   "cuMemFreeAsync",
      "cuStreamDestroy", "cuEventDestroy",   "cuMemPoolDestroy", "cuDevicePrimaryCtxRelease"};
  const std::set<std::string> unused = {"cuMemAlloc", "cuMemFree", "cuGetErrorName",
                                        "cuGetErrorString"};
  int tried = 0;
  const auto try_function = [&](const std::string& name) {
    if (unused.contains(name)) return;
    for (int nth = 0; nth < 3; ++nth) {
      SCOPED_TRACE(name + " call " + std::to_string(nth));
      fake().reset({});
      const CUcontext mine = fake().create_context();
      fake().make_current(mine);
      fake().fail(name, CUDA_ERROR_OUT_OF_MEMORY, nth);
      const std::string error = everything(MASKJIT_TEST_LIBCUDA);
      const auto calls = fake().take_calls();
      const bool reached = std::count(calls.begin(), calls.end(), name) > nth;
      if (nth == 0) EXPECT_TRUE(reached);
      if (!reached) continue;
      ++tried;
      if (name != "cuCtxPopCurrent") EXPECT_EQ(fake().contexts(), std::vector{mine});
      if (silent.contains(name)) continue;
      if (name == "cuDriverGetVersion") {
        EXPECT_THAT(error, HasSubstr("does not say its version"));
        continue;
      }
      EXPECT_THAT(error, HasSubstr("CUDA_ERROR_OUT_OF_MEMORY (2): out of memory"));
      const bool named_otherwise = name == "cuMemAllocFromPoolAsync" || name == "cuCtxGetCurrent";
      if (!named_otherwise) EXPECT_THAT(error, HasSubstr(name));
    }
  };
#define TRY(name, version, ...) try_function(#name);
  MASKJIT_CUDA_FUNCTIONS(TRY)
#undef TRY
  EXPECT_GT(tried, 50);
}

TEST(CudaFaults, TheCallersContextIsCurrentAgain) {
  const auto device = open_device();
  EXPECT_TRUE(fake().contexts().empty());
  const CUcontext mine = fake().create_context();
  fake().make_current(mine);
  auto buffer = device->allocate(64, {}, "");
  ASSERT_TRUE(buffer);
  EXPECT_EQ(fake().contexts(), std::vector{mine});
  ASSERT_TRUE(device->fill_bytes(buffer->address(), 1, 64, {}));
  EXPECT_EQ(fake().contexts(), std::vector{mine});
  // The device's own context is not pushed on itself.
  fake().make_current(device->context());
  fake().take_calls();
  ASSERT_TRUE(device->synchronise({}));
  EXPECT_THAT(fake().take_calls(),
              ::testing::ElementsAre("cuCtxGetCurrent", "cuStreamSynchronize"));
  fake().make_current(nullptr);
}

TEST(CudaFaults, LaunchesNeitherAllocateNorSynchronise) {
  const auto device = open_device();
  const auto kernel = device->load(add_one());
  ASSERT_TRUE(kernel) << kernel.error().message;
  auto buffer = device->allocate(128, {}, "");
  ASSERT_TRUE(device->fill_words(buffer->address(), 1, 32, {}));
  const AddOneArgs args{buffer->address(), buffer->address()};
  fake().take_calls();
  ASSERT_TRUE(
      device->launch(**kernel, {"add_one", 1, 32, 0}, std::as_bytes(std::span(&args, 1)), {}));
  EXPECT_THAT(fake().take_calls(), ::testing::ElementsAre("cuCtxGetCurrent", "cuCtxPushCurrent",
                                                          "cuLaunchKernel", "cuCtxPopCurrent"));
  const Status wrong =
      device->launch(**kernel, {"other", 1, 32, 0}, std::as_bytes(std::span(&args, 1)), {});
  EXPECT_THAT(wrong.error().message, HasSubstr("the module has no kernel other"));
}

TEST(CudaFaults, FaultsOfKernelsAreSaidByWhatWaitsForThem) {
  const auto device = open_device();
  const auto kernel = device->load(add_one());
  const AddOneArgs args{16, 32};
  ASSERT_TRUE(
      device->launch(**kernel, {"add_one", 1, 32, 0}, std::as_bytes(std::span(&args, 1)), {}));
  EXPECT_THAT(device->synchronise({}).error().message,
              HasSubstr("cuda:0 (Fake GPU 0): cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS"));
}

TEST(CudaFaults, LoadsMachineCodeOrElsePtx) {
  auto device = open_device();
  codegen::CodeArtifact artifact = add_one();
  artifact.cubin = "CUBIN:" + artifact.object;
  ASSERT_TRUE(device->load(artifact));
  EXPECT_EQ(fake().cubins(), 1);
  artifact.cubin =
      "\x7f"
      "ELF of a later driver";
  {
    const auto kernel = device->load(artifact);
    ASSERT_TRUE(kernel) << kernel.error().message;
    EXPECT_EQ(fake().cubins(), 1);
    ASSERT_EQ((*kernel)->entries().size(), 1u);
    EXPECT_EQ((*kernel)->entries()[0].name, "add_one");
    EXPECT_EQ((*kernel)->entries()[0].resources.registers, 77);
  }

  device.reset();
  device = open_device({.major = 9, .minor = 0});
  artifact.cubin = "CUBIN:" + artifact.object;  // of sm_80: another generation's
  ASSERT_TRUE(device->load(artifact));
  EXPECT_EQ(fake().cubins(), 0);
  artifact.target = "sm_100";
  EXPECT_EQ(device->load(artifact).error().message,
            "cuda:0 (Fake GPU 0) cannot execute code for sm_100; it executes sm_90a");
}

TEST(CudaFaults, TheLogOfTheDriverIsInTheError) {
  const auto device = open_device();
  codegen::CodeArtifact artifact = add_one();
  artifact.object.replace(artifact.object.find("add.u32"), 7, "add.u33");
  artifact.cubin =
      "\x7f"
      "ELF";
  const auto kernel = device->load(artifact);
  ASSERT_FALSE(kernel);
  EXPECT_THAT(kernel.error().message,
              AllOf(HasSubstr("cuModuleLoadDataEx of the cubin: CUDA_ERROR_NO_BINARY_FOR_GPU"),
                    HasSubstr("cuModuleLoadDataEx of the PTX: CUDA_ERROR_INVALID_PTX"),
                    HasSubstr("add.u33")));
}

TEST(CudaFaults, DevicesWithoutPoolsAllocateOtherwise) {
  const auto device = open_device({.memory_pools = false});
  fake().take_calls();
  {
    const auto buffer = device->allocate(64, {}, "");
  }
  const auto calls = fake().take_calls();
  EXPECT_THAT(calls, AllOf(::testing::Contains("cuMemAlloc"), ::testing::Contains("cuMemFree"),
                           Not(::testing::Contains("cuMemAllocFromPoolAsync"))));
  EXPECT_EQ(fake().live("allocations"), 0);
}

TEST(CudaFaults, OutOfMemoryNamesTheBytes) {
  const auto device = open_device();
  EXPECT_THAT(device->allocate(uint64_t{1} << 40, {}, "").error().message,
              HasSubstr("allocating 1099511627776 bytes: CUDA_ERROR_OUT_OF_MEMORY"));
}

}  // namespace
}  // namespace maskjit::cuda::testing
