// Whole kernels, as LLVM prints them: attention with mma, ldmatrix and cp.async, with bugs planted
// into its text; and a function of everything else, which the host computes, too.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <random>
#include <sstream>

#include "tests/emulator/harness.h"
#include "tests/emulator/kernels/mixture.h"

namespace maskjit::emulator {
namespace {

std::string read_kernel(const std::string& name) {
  std::ifstream stream(std::string(MASKJIT_SOURCE_DIR "/tests/emulator/kernels/") + name);
  EXPECT_TRUE(stream.good()) << name;
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::string replace(std::string text, const std::string& what, const std::string& with,
                    int which = 0) {
  size_t at = text.find(what);
  for (; which > 0 && at != std::string::npos; --which) at = text.find(what, at + 1);
  EXPECT_NE(at, std::string::npos) << what;
  if (at != std::string::npos) text.replace(at, what.size(), with);
  return text;
}

struct Attention {
  uint32_t heads = 2, length = 192;
  Report report;
  double worst = 0;  // error over the outputs
  double seconds = 0;
};

Attention run_attention(const std::string& text, uint64_t seed = 0, bool compare = true,
                        uint32_t length = 192) {
  Attention run;
  run.length = length;
  const Module module = parse_or_fail(text);
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  const size_t count = size_t{run.heads} * run.length * 64;
  std::vector<uint16_t> inputs[3];
  for (auto& input : inputs) {
    for (size_t i = 0; i < count; ++i)
      input.push_back(static_cast<uint16_t>(std::bit_cast<uint32_t>(normal(random)) >> 16));
  }
  Memory memory;
  const DeviceAddress q = upload(memory, inputs[0], "queries", true),
                      k = upload(memory, inputs[1], "keys", true),
                      v = upload(memory, inputs[2], "values", true);
  const DeviceAddress out = memory.allocate(count * 4, {"outputs", true, false});
  Parameters parameters;
  parameters.add(q).add(k).add(v).add(out).add(run.length).add(0.125f * 1.44269504f);
  LaunchConfig config;
  config.grid = {run.length / 64, run.heads, 1};
  config.block = {128, 1, 1};
  config.params = parameters.bytes();
  LaunchOptions options;
  options.seed = seed;
  options.step_limit = 10'000'000;
  const auto start = std::chrono::steady_clock::now();
  run.report = launch(module, memory, "attention", config, options);
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!run.report.ok() || !compare) return run;
  const auto outputs = download<float>(memory, out, count);
  for (uint32_t h = 0; h < run.heads; ++h) {
    for (uint32_t i = 0; i < run.length; ++i) {
      const auto value = [&](int which, uint32_t row, uint32_t e) {
        return bf16_value(inputs[which][(h * run.length + row) * 64 + e]);
      };
      std::vector<double> weights(i + 1);
      double most = -INFINITY, sum = 0;
      for (uint32_t j = 0; j <= i; ++j) {
        double dot = 0;
        for (uint32_t e = 0; e < 64; ++e) dot += value(0, i, e) * value(1, j, e);
        weights[j] = dot * 0.125;
        most = std::max(most, weights[j]);
      }
      for (double& w : weights) sum += w = std::exp(w - most);
      for (uint32_t e = 0; e < 64; ++e) {
        double want = 0;
        for (uint32_t j = 0; j <= i; ++j) want += weights[j] / sum * value(2, j, e);
        run.worst = std::max(run.worst, std::fabs(want - outputs[(h * run.length + i) * 64 + e]));
      }
    }
  }
  return run;
}

TEST(EmulatorKernels, Attention) {
  const std::string text = read_kernel("attention.ptx");
  const Attention run = run_attention(text);
  ASSERT_TRUE(run.report.ok()) << run.report.fault->render();
  // Probabilities are rounded to bf16 (2^-9), values are up to about 4.
  EXPECT_LT(run.worst, 4 * 0x1p-8);
  EXPECT_GT(run.worst, 0.0);
  const Counts& counts = run.report.counts;
  const uint64_t tiles = 1 + 2 + 3, visited = run.heads * tiles;
  // 16 rows a warp: 4 * 8 products of 16 x 8 x 16 for the scores of a tile, as many for the
  // outputs.
  EXPECT_EQ(counts.matrix_operations, visited * 4 * 64);
  EXPECT_EQ(counts.matrix_multiply_adds, visited * 2 * 64 * 64 * 64);
  EXPECT_EQ(counts.matrix_loads.conflicts, 0u);
  EXPECT_EQ(counts.async_writes.conflicts, 0u);
  // Each tile of keys and values once a visit, each tile of queries once; every byte is useful.
  EXPECT_EQ(counts.async_copies.useful_bytes, (2 * visited + run.heads * 3) * 64 * 128);
  EXPECT_EQ(counts.async_copies.wasted_bytes(), 0u);
  EXPECT_EQ(counts.global_stores.useful_bytes, run.heads * run.length * 64 * 4);
  EXPECT_EQ(counts.global_stores.wasted_bytes(), 0u);
  EXPECT_EQ(counts.barriers, 2 * visited);
  EXPECT_EQ(counts.shared_bytes, 5u * 64 * 128);
  for (uint64_t seed = 1; seed < 4; ++seed) {
    const Attention again = run_attention(text, seed, false);
    EXPECT_TRUE(again.report.ok()) << again.report.fault->render();
    EXPECT_EQ(again.report.counts.warp_instructions, counts.warp_instructions);
  }
}

// What keeps the conformance suite usable. The limit leaves room for sanitizers and busy machines.
TEST(EmulatorKernels, IsFastEnough) {
  const Attention run = run_attention(read_kernel("attention.ptx"), 0, false, 512);
  ASSERT_TRUE(run.report.ok()) << run.report.fault->render();
  fmt::print("causal attention 1x2x512x512x64: {:.3f} s, {} instructions of warps\n", run.seconds,
             run.report.counts.warp_instructions);
  EXPECT_LT(run.seconds, 10.0);
}

TEST(EmulatorKernels, PlantedBugs) {
  const std::string text = read_kernel("attention.ptx");
  const auto caught = [&](const std::string& bug, const std::string& changed,
                          std::initializer_list<FaultKind> kinds) {
    SCOPED_TRACE(bug);
    ASSERT_NE(changed, text);
    for (uint64_t seed = 0; seed < 3; ++seed) {
      const Attention run = run_attention(changed, seed, false);
      ASSERT_FALSE(run.report.ok());
      const Fault& fault = *run.report.fault;
      EXPECT_NE(std::find(kinds.begin(), kinds.end(), fault.kind), kinds.end()) << fault.render();
      EXPECT_EQ(fault.kernel, "attention");
      EXPECT_GT(fault.line, 0u);
      EXPECT_FALSE(fault.instruction.empty());
    }
  };
  const std::string barrier = "bar.sync \t0;", wait = "cp.async.wait_group 1;";
  const auto unordered = {FaultKind::Race, FaultKind::UninitialisedMemory, FaultKind::StaleRead,
                          FaultKind::AsyncConflict};
  caught("one barrier less", replace(text, barrier, ""), unordered);
  caught("the other barrier less", replace(text, barrier, "", 1), unordered);
  caught("no wait", replace(text, wait, ""), {FaultKind::StaleRead});
  caught("a wait too short", replace(text, wait, "cp.async.wait_group 2;"), {FaultKind::StaleRead});
  caught("an open group", replace(text, "cp.async.commit_group;", ""), {FaultKind::StaleRead});
  caught(
      "part of a warp at the barrier",
      replace(
          text, barrier,
          "{ .reg .pred p; .reg .b32 t; mov.u32 t, %laneid; setp.ne.u32 p, t, 7; @p bar.sync 0; }"),
      {FaultKind::DivergentBarrier});
  caught("a source too far", replace(text, "], 16;", "+1048576], 16;"), {FaultKind::OutOfBounds});
  caught("an odd source", replace(text, "], 16;", "+8], 16;"), {FaultKind::Misaligned});
  caught("a loop that ends too early or not at all", replace(text, "@%p36 bra", "@!%p36 bra"),
         {FaultKind::StepLimit, FaultKind::OutOfBounds, FaultKind::UninitialisedMemory});
}

TEST(EmulatorKernels, Mixture) {
  const Module module = parse_or_fail(read_kernel("mixture.ptx"));
  mixture::Input input = {{1, 77, 1000003, 0xDEADBEEF, 5, 0x7FFFFFFF},
                          0.37f,
                          {1, 200, 33, 4, 255},
                          0x9ABC,
                          -987654321012345};
  constexpr uint32_t kCount = 2000;
  Memory memory;
  const DeviceAddress out = memory.allocate(kCount * 4);
  Parameters parameters;
  parameters.add(input).add(out).add(kCount);
  LaunchConfig config;
  config.block = {96, 1, 1};
  config.grid = {(kCount + 95) / 96, 1, 1};
  config.params = parameters.bytes();
  const Report report = launch(module, memory, "mixture_kernel", config);
  ASSERT_TRUE(report.ok()) << report.fault->render();
  const auto words = download<uint32_t>(memory, out, kCount);
  for (uint32_t i = 0; i < kCount; ++i) ASSERT_EQ(words[i], mixture::mix(i, input)) << i;
  EXPECT_GT(report.counts.divergent_jumps, 100u);
}

}  // namespace
}  // namespace maskjit::emulator
