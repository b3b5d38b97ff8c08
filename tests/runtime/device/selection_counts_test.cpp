// How many bytes decoding reads from global memory where a sequence selects a tenth of the keys by
// an index, against dense decoding of the same shape: counted exactly, on the emulator. Prints the
// table of docs/measurements.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "runtime/device/emulated/emulated_device.h"
#include "tests/runtime/engine/problem.h"

namespace maskjit {
namespace {

constexpr int64_t kHeads = 2, kKeys = 32768, kDim = 128;
constexpr int64_t kParameters = (kDim + 1) * 32;  // of a perceptron of one layer of 32 bits

std::vector<uint16_t> random_bf16(int64_t count, uint32_t seed) {
  std::vector<uint16_t> values(static_cast<size_t>(count));
  for (uint16_t& value : values) {
    seed = seed * 1664525 + 1013904223;
    // Magnitudes of 1/4 to 4 and either sign.
    value = static_cast<uint16_t>((seed >> 31) << 15 | (125 + (seed >> 28) % 4) << 7 |
                                  (seed >> 16 & 127));
  }
  return values;
}

class SelectionCounts : public ::testing::Test {
 protected:
  static EngineOptions options() {
    EngineOptions options = testing::memory_only();
    options.device = "emulator";
    return options;
  }

  // Bytes of sectors that all kernels of a call read.
  uint64_t read_by(const std::string& mask) {
    const Result<Spec> spec =
        engine_.load_text("attention main(table: tensor<i32>[1, 16], a: tensor<f32>[num_heads, " +
                          std::to_string(kParameters) + "], b: tensor<f32>[num_heads, " +
                          std::to_string(kParameters) + "]) { mask " + mask + " }");
    EXPECT_TRUE(spec) << spec.error().message;
    const Result<Attention> attention = spec->bind();
    const auto view = [](auto& values, ElementType type, std::vector<int64_t> shape) {
      return TensorView::contiguous(values.data(), type, std::move(shape));
    };
    std::vector<uint16_t> output(static_cast<size_t>(kHeads * kDim));
    AttentionInputs inputs;
    inputs.query = view(query_, ElementType::BF16, {1, kHeads, 1, kDim});
    inputs.key = view(key_, ElementType::BF16, {1, kHeads, kKeys, kDim});
    inputs.value = view(value_, ElementType::BF16, {1, kHeads, kKeys, kDim});
    inputs.tensors = {{"table", view(table_, ElementType::I32, {1, 16})},
                      {"a", view(mlp_, ElementType::F32, {kHeads, kParameters})},
                      {"b", view(mlp_, ElementType::F32, {kHeads, kParameters})}};
    auto& device = static_cast<emulated::EmulatedDevice&>(*engine_.device());
    device.keep_reports();
    const Status done =
        attention->run(inputs, {.output = view(output, ElementType::BF16, {1, kHeads, 1, kDim})});
    EXPECT_TRUE(done) << done.error().message;
    uint64_t bytes = 0;
    std::string kernels;
    for (const emulated::LaunchReport& report : device.take_reports()) {
      const emulator::Counts& counts = report.counts;
      const uint64_t read = counts.global_loads.sector_bytes() +
                            counts.async_copies.sector_bytes() +
                            counts.global_atomics.sector_bytes();
      bytes += read;
      kernels += fmt::format("{}{} {} x {}: {}", kernels.empty() ? "" : ", ", report.entry,
                             report.launch.blocks, report.launch.threads, read);
    }
    std::printf("| `%s` | %llu | %s |\n", mask.c_str(), static_cast<unsigned long long>(bytes),
                kernels.c_str());
    return bytes;
  }

  const Engine engine_{options()};
  std::vector<uint16_t> query_ = random_bf16(kHeads * kDim, 1);
  std::vector<uint16_t> key_ = random_bf16(kHeads * kKeys * kDim, 2);
  std::vector<uint16_t> value_ = random_bf16(kHeads * kKeys * kDim, 3);
  std::vector<int32_t> table_ = {3, 9, 17, 20, 31, 40, 47, 55, 60, 71, 79, 88, 95, 101, 110, 127};
  std::vector<float> mlp_ = [] {
    std::vector<float> values(static_cast<size_t>(kHeads * kParameters));
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i) * 1.7f);
    return values;
  }();
};

TEST_F(SelectionCounts, DecodingByAnIndexReadsLessThanAQuarterOfDenseDecoding) {
  std::printf("| mask | bytes read | by kernel |\n|---|---|---|\n");
  const uint64_t dense = read_by("full()");
  EXPECT_GE(dense, static_cast<uint64_t>(2 * kHeads * kKeys * kDim * 2));
  for (const char* by : {"page_bound(16)", "channels(table, bits = 4)",
                         "hash_bits(a, b, bits = "
                         "32, layers = 1)"}) {
    const uint64_t selected =
        read_by("sink(16) then local(64) then top_k(10%, by = " + std::string(by) + ")");
    EXPECT_LT(4 * selected, dense) << by;
    // A tenth of the keys are read, at least.
    EXPECT_GT(10 * selected, dense) << by;
  }
}

}  // namespace
}  // namespace maskjit
