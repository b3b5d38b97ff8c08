// What the kernels of sm_80 do, counted exactly by the emulator: the performance tests of
// device code that need no device.
#include <gtest/gtest.h>

#include "codegen/spec/device_templates.h"
#include "masker_dsl/interp/interpreter.h"
#include "tests/conformance/emulator_launch.h"

namespace maskjit::conformance {
namespace {

struct Case {
  const char* name;
  const char* mask;
  int head_dim;
  int64_t q_len, kv_len;
  MjElement element;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

class DeviceCounts : public testing::TestWithParam<Case> {};

// Does the mask keep any element of the tile? By the interpreter, element by element.
bool active(const Problem& problem, int64_t q_begin, int64_t q_end, int64_t k_begin,
            int64_t k_end) {
  const ir::Function& function = problem.program().function;
  interp::Evaluator keep(function, function.result("mask"));
  interp::Environment at;
  const ProblemDescription& d = problem.description();
  at[ir::Var::QLen] = d.q_len;
  at[ir::Var::KvLen] = d.kv_len;
  at[ir::Var::QOffset] = *problem.reference_inputs().q_offset;
  for (int64_t q = q_begin; q < q_end; ++q) {
    for (int64_t k = k_begin; k < k_end; ++k) {
      at[ir::Var::Query] = q + at[ir::Var::QOffset];
      at[ir::Var::Key] = k;
      if (keep(at).integer != 0) return true;
    }
  }
  return false;
}

TEST_P(DeviceCounts, AreWhatTheMaskNeeds) {
  const Case& c = GetParam();
  ProblemDescription description;
  description.mask = c.mask;
  description.num_heads = 2;
  description.num_kv_heads = 1;
  description.q_len = c.q_len;
  description.kv_len = c.kv_len;
  description.head_dim = c.head_dim;
  description.element = c.element;
  const Problem problem(description);
  const codegen::Target target = *codegen::Target::parse("sm_80");
  const codegen::KernelSpec spec =
      *codegen::select_template(problem.program(), problem.spec(), target).spec;
  ASSERT_EQ(spec.template_name, "nvptx/attention_forward");
  emulator::Report report;
  run_on_emulator(problem, spec, target, 1, report);
  ASSERT_TRUE(report.ok()) << report.fault->render();
  const emulator::Counts& counts = report.counts;

  int64_t tiles = 0, keys = 0;
  for (int64_t q = 0; q < c.q_len; q += spec.tile_q) {
    for (int64_t k = 0; k < c.kv_len; k += spec.tile_k) {
      const int64_t q_end = std::min(q + spec.tile_q, c.q_len);
      const int64_t k_end = std::min(k + spec.tile_k, c.kv_len);
      if (!active(problem, q, q_end, k, k_end)) continue;
      ++tiles;
      keys += k_end - k;
    }
  }
  const int64_t heads = 2;
  // Tiles visited: the matrix instructions are those of the active tiles, no more and no fewer.
  const bool single = c.element == MJ_F32;
  const int64_t inner = single ? 8 : 16;
  const int64_t columns = round_up(c.head_dim, inner);
  const int64_t of_tile =
      spec.tile_q / 16 *
      (spec.tile_k / 8 * (columns / inner) + columns / 8 * (spec.tile_k / inner)) *
      (single ? 3 : 1);
  EXPECT_EQ(counts.matrix_operations, static_cast<uint64_t>(heads * tiles * of_tile));

  // Shared memory: no load of an operand waits for another one's bank. Rows of whole groups of
  // eight 16-byte chunks are also written and read back without; shorter ones share a bank where a
  // warp steps to the next row.
  EXPECT_EQ(counts.matrix_loads.conflicts, 0U);
  if (single || c.head_dim % 64 == 0) {
    EXPECT_EQ(counts.shared_loads.conflicts, 0U);
    EXPECT_EQ(counts.async_writes.conflicts, 0U);
  }

  // Global memory: each key and value of a visited tile once for each query tile, queries and
  // results once, in whole sectors.
  const int64_t bytes = single ? 4 : 2;
  const int64_t rows = heads * c.q_len;
  const int64_t ideal_loads = (2 * heads * keys + rows) * c.head_dim * bytes;
  const int64_t results = rows * (c.head_dim * bytes + c.head_dim * 4 + 3 * 4);  // numerator too
  const auto loads =
      static_cast<double>(counts.async_copies.sector_bytes() + counts.global_loads.sector_bytes());
  EXPECT_LE(loads, 1.05 * static_cast<double>(ideal_loads));
  EXPECT_GE(loads, 1.0 * static_cast<double>(ideal_loads));
  EXPECT_EQ(counts.global_stores.useful_bytes, static_cast<uint64_t>(results));
}

struct DecodeCase {
  const char* name;
  const char* mask;
  int64_t num_heads, q_len, kv_len;
  int head_dim;
  MjElement element;
  int multiprocessors;
};

void PrintTo(const DecodeCase& c, std::ostream* out) { *out << c.name; }

class DecodeCounts : public testing::TestWithParam<DecodeCase> {};

TEST_P(DecodeCounts, AreTheBytesOfTheVisitedKeys) {
  const DecodeCase& c = GetParam();
  ProblemDescription description;
  description.mask = c.mask;
  description.num_heads = c.num_heads;
  description.num_kv_heads = 2;
  description.q_len = c.q_len;
  description.kv_len = c.kv_len;
  description.head_dim = c.head_dim;
  description.element = c.element;
  const Problem problem(description);
  const codegen::Target target = *codegen::Target::parse("sm_80");
  const codegen::KernelSpec spec =
      *codegen::select_template(problem.program(), problem.spec(), target).spec;
  ASSERT_EQ(spec.template_name, "nvptx/attention_decode");
  const codegen::DeviceLaunch launch =
      codegen::device_launch(spec, {1, c.num_heads, 2, c.q_len, c.kv_len}, c.multiprocessors);
  EXPECT_EQ(launch.step_count, c.multiprocessors > 1 ? 2 : 1);
  emulator::Report report;
  run_on_emulator(problem, spec, target, c.multiprocessors, report);
  ASSERT_TRUE(report.ok()) << report.fault->render();
  const emulator::Counts& counts = report.counts;

  int64_t tiles = 0, keys = 0;
  for (int64_t k = 0; k < c.kv_len; k += spec.tile_k) {
    const int64_t k_end = std::min<int64_t>(k + spec.tile_k, c.kv_len);
    if (!active(problem, 0, c.q_len, k, k_end)) continue;
    ++tiles;
    keys += k_end - k;
  }
  const bool single = c.element == MJ_F32;
  const int64_t inner = single ? 8 : 16;
  const int64_t columns = round_up(c.head_dim, inner);
  const int64_t of_warp = (2 * (columns / inner) + columns / 8 * (16 / inner)) * (single ? 3 : 1);
  EXPECT_EQ(counts.matrix_operations, static_cast<uint64_t>(2 * tiles * spec.warps * of_warp));
  EXPECT_EQ(counts.matrix_loads.conflicts, 0U);
  if (c.head_dim * (single ? 4 : 2) % 128 == 0) {
    EXPECT_EQ(counts.async_writes.conflicts, 0U);
  }

  // Everything that moves, the parts of the splits and the results included.
  const int64_t ideal = 2 * 2 * keys * c.head_dim * (single ? 4 : 2);
  const uint64_t copies = counts.async_copies.sector_bytes();
  const uint64_t bytes =
      copies + counts.global_loads.sector_bytes() + counts.global_stores.sector_bytes();
  EXPECT_GE(copies, static_cast<uint64_t>(ideal));
  EXPECT_LE(static_cast<double>(bytes), 1.02 * static_cast<double>(ideal));
}

INSTANTIATE_TEST_SUITE_P(
    All, DecodeCounts,
    testing::Values(DecodeCase{"full_bf16_d128", "full()", 2, 1, 8000, 128, MJ_BF16, 8},
                    DecodeCase{"group_bf16_d128", "causal()", 8, 1, 8192, 128, MJ_BF16, 4},
                    DecodeCase{"group_f16_d64", "full()", 16, 1, 8192, 64, MJ_F16, 1},
                    DecodeCase{"speculative_bf16_d80", "causal()", 4, 4, 8192, 80, MJ_BF16, 4},
                    DecodeCase{"window_bf16_d256", "sink(64) | local(6000)", 2, 1, 20000, 256,
                               MJ_BF16, 4},
                    DecodeCase{"strided_f32_d64", "k // 512 % 3 == 0", 4, 1, 12000, 64, MJ_F32, 4}),
    [](const auto& info) { return std::string(info.param.name); });

constexpr const char* kStreaming = "causal() & (sink(4) | local(100))";

INSTANTIATE_TEST_SUITE_P(
    All, DeviceCounts,
    testing::Values(Case{"causal_bf16_d64", "causal()", 64, 300, 300, MJ_BF16},
                    Case{"causal_bf16_d128", "causal()", 128, 260, 260, MJ_BF16},
                    Case{"streaming_bf16_d64", kStreaming, 64, 700, 700, MJ_BF16},
                    Case{"streaming_f16_d80", kStreaming, 80, 700, 700, MJ_F16},
                    Case{"full_f16_d40", "full()", 40, 130, 200, MJ_F16},
                    Case{"causal_f32_d64", "causal()", 64, 130, 200, MJ_F32},
                    Case{"streaming_bf16_d256", kStreaming, 256, 300, 400, MJ_BF16}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace maskjit::conformance
