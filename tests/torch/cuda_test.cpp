// The C++ API on CUDA tensors, on the fake driver. What both APIs share is tested from Python
// (cuda_test.py).
#include <cstdlib>

#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/torch/devices.h"
#include "runtime/torch/hub.h"

namespace maskjit::torch {
namespace {

using ::testing::HasSubstr;

const c10::Device kCuda(at::kCUDA, 0);

struct Tensors {
  at::Tensor query = at::randn({1, 4, 20, 32});
  at::Tensor key = at::randn({1, 2, 40, 32});
  at::Tensor value = at::randn({1, 2, 40, 32});
  Tensors to(c10::Device device) const {
    return {query.to(device), key.to(device), value.to(device)};
  }
};

double difference(const at::Tensor& a, const at::Tensor& b) {
  return a.cpu().sub(b.cpu()).abs().max().item<double>();
}

template <typename Exception, typename Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Exception& error) {
    return error.what_without_backtrace();
  }
  return "nothing was thrown";
}

TEST(TorchCuda, OneSpecForEveryDevice) {
  const Tensors t, there = t.to(kCuda);
  const CompiledSpec spec = compile("causal");
  const at::Tensor on_cpu = attention(spec, t.query, t.key, t.value);
  const at::Tensor output = attention(spec, there.query, there.key, there.value);
  EXPECT_EQ(output.device(), kCuda);
  EXPECT_LT(difference(output, on_cpu), 1e-5);
  EXPECT_EQ(&spec.on(kCuda), &spec.on(kCuda));
  EXPECT_NE(&spec.on(kCuda), &spec.on(at::kCPU));
  EXPECT_EQ(&engine(kCuda), &engine(kCuda));
}

TEST(TorchCuda, TheStreamIsTheCurrentOneOfTheDevice) {
  const c10::impl::VirtualGuardImpl guard(at::kCUDA);
  EXPECT_EQ(place_of(at::kCPU).memory, MemorySpace::Host);
  EXPECT_EQ(place_of(kCuda).memory, MemorySpace::Device);
  EXPECT_EQ(place_of(kCuda).stream, nullptr);
  const c10::Stream stream = guard.getNewStream(kCuda);
  {
    const c10::StreamGuard in(stream);
    EXPECT_NE(place_of(kCuda).stream, nullptr);
    EXPECT_EQ(place_of(kCuda).stream, guard.getStreamNativeHandle(stream));
  }
  EXPECT_EQ(place_of(kCuda).stream, nullptr);
}

TEST(TorchCuda, Hub) {
  const Tensors t, there = t.to(kCuda);
  const auto attention = hub::ResearchAttention::create_from_config(
      {hub::SinkMaskerConfig{int64_t{4}}, hub::LocalMaskerConfig{0.2}});
  const auto call = [&](const Tensors& tensors) {
    return attention
        .custom_attention(false, tensors.query, tensors.key, tensors.value, {}, 0.25, 0.0)
        .output;
  };
  EXPECT_LT(difference(call(there), call(t)), 1e-5);
}

TEST(TorchCuda, OtherDevicesAreRefused) {
  const at::Tensor meta = at::empty({1, 4, 20, 32}, at::TensorOptions().device(at::kMeta));
  const CompiledSpec spec = compile("causal");
  EXPECT_EQ(message_of<c10::NotImplementedError>([&] { (void)attention(spec, meta, meta, meta); }),
            "query is on meta; maskjit has kernels for cpu and cuda");
  EXPECT_THAT(message_of<c10::NotImplementedError>([&] { (void)spec.on(at::kMPS); }),
              HasSubstr("maskjit has no kernels for mps: cpu and cuda are possible"));
}

// cuda:1 is for this test alone: its engine stays what it was made as.
TEST(TorchCuda, WithoutADriverTheReasonIsSaid) {
  const Tensors there = Tensors().to(c10::Device(at::kCUDA, 1));
  ::setenv("MASKJIT_LIBCUDA", "libno_such_driver.so", 1);
  const CompiledSpec spec = compile("causal");
  const std::string message = message_of<c10::NotImplementedError>(
      [&] { (void)attention(spec, there.query, there.key, there.value); });
  ::setenv("MASKJIT_LIBCUDA", MASKJIT_TEST_LIBCUDA, 1);
  EXPECT_THAT(message, HasSubstr("no CUDA driver: libno_such_driver.so cannot be loaded"));
}

}  // namespace
}  // namespace maskjit::torch
