// Loading a driver, what it says of its devices, and what is wrong with it.
#include "runtime/device/open.h"
#include "tests/runtime/cuda/fixture.h"

namespace maskjit::cuda::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(CudaDriver, SaysWhyThereIsNone) {
  const auto missing = Driver::load("libmaskjit-no-such-cuda.so.1");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::Unsupported);
  EXPECT_THAT(missing.error().message,
              HasSubstr("no CUDA driver: libmaskjit-no-such-cuda.so.1 cannot be loaded"));
  EXPECT_EQ(missing.error().message.find('\n'), std::string::npos);
  const auto other = Driver::load("libm.so.6");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message,
            "libm.so.6 has no cuGetProcAddress: CUDA 11.4 or newer is needed");
  fake().reset({.version = 11030});
  EXPECT_EQ(load_error(), "the CUDA driver is of version 11.3; 11.4 or newer is needed");
  fake().reset({.missing = "cuMemAllocFromPoolAsync"});
  EXPECT_EQ(load_error(), "the CUDA driver 12.4 lacks cuMemAllocFromPoolAsync");
  fake().reset({.init_result = CUDA_ERROR_NO_DEVICE});
  EXPECT_EQ(load_error(),
            "no CUDA device: cuInit: CUDA_ERROR_NO_DEVICE (100): no CUDA-capable device is "
            "detected");
  fake().reset({.devices = 0});
  EXPECT_THAT(load_error(), HasSubstr("no CUDA device: the driver knows none"));
}

TEST(CudaDriver, NamesErrors) {
  fake().reset({});
  const auto driver = Driver::load(MASKJIT_TEST_LIBCUDA);
  ASSERT_TRUE(driver);
  EXPECT_EQ((*driver)->describe("cuX", CUDA_ERROR_ILLEGAL_ADDRESS),
            "cuX: CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access was encountered");
  EXPECT_EQ((*driver)->describe("cuX", 12345), "cuX: unknown error (12345)");
}

TEST(CudaDriver, KnowsItsDevices) {
  fake().reset({.devices = 2, .major = 9, .minor = 0});
  const auto driver = Driver::load(MASKJIT_TEST_LIBCUDA);
  ASSERT_TRUE(driver) << driver.error().message;
  const auto info = (*driver)->device_info(1);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->name, "Fake GPU 1");
  EXPECT_EQ(info->multiprocessors, 16);
  EXPECT_EQ((*driver)->device_info(2).error().message, "there is no cuda:2: the driver knows 2");
  const device::CudaSummary summary = device::cuda_summary(MASKJIT_TEST_LIBCUDA);
  ASSERT_TRUE(summary.available);
  EXPECT_EQ(summary.driver_version, "12.4");
  ASSERT_EQ(summary.devices.size(), 2u);
  EXPECT_THAT(summary.devices[0], AllOf(HasSubstr("cuda:0 Fake GPU 0"), HasSubstr("sm_90a")));
}

TEST(CudaDriver, TargetsFollowComputeCapabilities) {
  const auto name = [](int major, int minor) {
    const auto target = target_of(major, minor);
    return target ? target->print() : "none";
  };
  EXPECT_EQ(name(7, 5), "none");
  EXPECT_EQ(name(8, 0), "sm_80");
  EXPECT_EQ(name(8, 6), "sm_86");
  EXPECT_EQ(name(8, 7), "sm_86");
  EXPECT_EQ(name(9, 0), "sm_90a");
  EXPECT_EQ(name(10, 0), "sm_100a");
  EXPECT_EQ(name(10, 3), "sm_100");
  EXPECT_EQ(name(12, 0), "sm_120a");
}

TEST(CudaDriver, DevicesAreOpenedByName) {
  fake().reset({.devices = 2, .major = 8, .minor = 6});
  const auto open = [](const std::string& name, const std::string& target = {}) {
    return device::open({name, target, MASKJIT_TEST_LIBCUDA});
  };
  const auto second = open("cuda:1");
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->device->limits().name, "cuda:1 (Fake GPU 1)");
  EXPECT_EQ(second->target.print(), "sm_86");
  EXPECT_EQ(open("cuda", "sm_80")->target.print(), "sm_80");
  EXPECT_EQ(open("cuda", "sm_90").error().message,
            "cuda:0 (Fake GPU 0) cannot execute code for sm_90; it executes sm_86");
  EXPECT_EQ(open("cuda:2").error().message, "there is no cuda:2: the driver knows 2");
  for (const char* name : {"tpu", "cuda:", "cuda:x", "cuda:-1", "cuda1", "CUDA"}) {
    EXPECT_THAT(open(name).error().message,
                HasSubstr(std::string("there is no device '") + name + "'"));
  }
  EXPECT_THAT(open("emulator", "sm_8").error().message, HasSubstr("there is no device target"));
  EXPECT_THAT(open("emulator", "x86-64").error().message, HasSubstr("possible are sm_80"));
  EXPECT_EQ(open("emulator", "sm_90a")->target.print(), "sm_90a");
  fake().reset({.major = 7, .minor = 5});
  EXPECT_EQ(open("cuda").error().message,
            "cuda:0 (Fake GPU 0) is of compute capability 7.5; kernels need 8.0 or newer");
}

}  // namespace
}  // namespace maskjit::cuda::testing
