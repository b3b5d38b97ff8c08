// Which device template a problem gets and why not another, and how its kernels are launched.
#include <gtest/gtest.h>

#include "codegen/spec/device_templates.h"
#include "kernels_templates/include/device_abi.h"
#include "masker_dsl/driver/driver.h"

namespace maskjit::codegen {
namespace {

driver::BoundProgram bind(const char* source) {
  driver::CheckedSource checked = driver::check("test.masker", source);
  diag::DiagnosticEmitter diagnostics;
  return *driver::bind(*checked.program, {}, diagnostics);
}

ProblemSpec problem_of(MjElement element, int head_dim, bool short_queries) {
  ProblemSpec problem;
  problem.element = element;
  problem.head_dim = problem.head_dim_v = head_dim;
  problem.short_queries = short_queries;
  return problem;
}

Selection select(const ProblemSpec& problem, const char* target = "sm_80",
                 const char* source = "attention main() { mask causal() }") {
  return select_template(bind(source).program, problem, *Target::parse(target));
}

TEST(DeviceSelection, TakesTheFirstThatCan) {
  const Selection decode = select(problem_of(MJ_BF16, 128, true));
  ASSERT_TRUE(decode.spec);
  EXPECT_EQ(decode.spec->template_name, "nvptx/attention_decode");

  const Selection forward = select(problem_of(MJ_BF16, 128, false));
  ASSERT_TRUE(forward.spec);
  EXPECT_EQ(forward.spec->template_name, "nvptx/attention_forward");
  bool said_why = false;
  for (const Refusal& refusal : forward.refused) {
    if (refusal.template_name != "nvptx/attention_decode") continue;
    said_why = refusal.reason.find("more than 16 query rows share a key head") == 0;
  }
  EXPECT_TRUE(said_why);
}

TEST(DeviceSelection, RefusesNothingButWhatNoLaunchHolds) {
  ProblemSpec dense = problem_of(MJ_F32, 64, true);
  dense.dense_results = true;
  EXPECT_EQ(select(dense).spec->template_name, "nvptx/attention_reference");
  EXPECT_EQ(select(problem_of(MJ_F16, 300, false)).spec->template_name,
            "nvptx/attention_reference");

  ProblemSpec dropped = problem_of(MJ_BF16, 64, false);
  dropped.dropout = MJ_DROPOUT;
  EXPECT_EQ(select(dropped).spec->template_name, "nvptx/attention_forward");

  ProblemSpec bits = problem_of(MJ_BF16, 64, false);
  bits.tensors.resize(1);
  EXPECT_EQ(select(bits, "sm_120a",
                   "attention main(m: tensor<bit>[q_len, kv_len]) { mask m[q_index, k] }")
                .spec->template_name,
            "nvptx/attention_forward");

  std::string many = "attention main(";
  for (int i = 0; i < mj_max_device_tensors + 1; ++i)
    many += (i == 0 ? "t" : ", t") + std::to_string(i) + ": tensor<i32>[kv_len]";
  many += ") { mask k <= q";
  for (int i = 0; i < mj_max_device_tensors + 1; ++i)
    many += " & t" + std::to_string(i) + "[k] > 0";
  many += " }";
  ProblemSpec wide = problem_of(MJ_BF16, 64, false);
  wide.tensors.resize(mj_max_device_tensors + 1);
  const Selection none = select(wide, "sm_80", many.c_str());
  EXPECT_FALSE(none.spec);
  EXPECT_TRUE(std::any_of(none.refused.begin(), none.refused.end(), [](const Refusal& refusal) {
    return refusal.template_name == "nvptx/attention_reference" &&
           refusal.reason.find("the parameters of a launch hold") != std::string::npos;
  }));
}

TEST(DeviceSelection, RefusesSequencesThatDoNotFit) {
  const char* chosen = "attention main() { mask causal() & top_k(10%) }";
  EXPECT_EQ(select(problem_of(MJ_BF16, 5000, false), "sm_86", chosen).spec->template_name,
            "nvptx/select_reference");
  const auto reason = [](const Selection& selection) {
    EXPECT_FALSE(selection.spec);
    for (const Refusal& refusal : selection.refused) {
      if (refusal.template_name == "nvptx/select_reference") return refusal.reason;
    }
    return std::string();
  };
  EXPECT_EQ(reason(select(problem_of(MJ_BF16, 20000, false), "sm_86", chosen)),
            "head dimension 20000: selecting takes 129664 bytes of shared memory, a block of sm_86 "
            "has 101376");
  std::string many = "attention main() { mask top_k(1)";
  for (int i = 0; i < 8; ++i) many += " then top_k(1)";
  EXPECT_EQ(reason(select(problem_of(MJ_BF16, 64, true), "sm_80", (many + " }").c_str())),
            "the sequence has 9 stages; 8 are possible");
}

TEST(DeviceSelection, FitsTheSharedMemoryOfEveryDevice) {
  for (const std::string& target : Target::device_names()) {
    for (const MjElement element : {MJ_F32, MJ_BF16}) {
      for (int head_dim = 1; head_dim <= 256; ++head_dim) {
        for (const bool is_short : {false, true}) {
          const Selection selection =
              select(problem_of(element, head_dim, is_short), target.c_str());
          ASSERT_TRUE(selection.spec);
          EXPECT_NE(selection.spec->template_name, "nvptx/attention_reference")
              << target << " D " << head_dim;
          EXPECT_LE(selection.spec->shared_memory, Target::parse(target)->shared_memory_limit());
        }
      }
    }
  }
}

TEST(DeviceLaunch, HasNothingToDoWithoutRows) {
  const KernelSpec spec = *select(problem_of(MJ_BF16, 128, true)).spec;
  EXPECT_EQ(device_launch(spec, {1, 8, 2, 0, 100}, 108).step_count, 0);
  EXPECT_EQ(device_launch(spec, {0, 8, 2, 1, 100}, 108).step_count, 0);
}

TEST(DeviceLaunch, OfTheForwardKernelIsABlockAQueryTile) {
  const KernelSpec spec = *select(problem_of(MJ_BF16, 128, false)).spec;
  const DeviceLaunch launch = device_launch(spec, {2, 8, 2, 129, 1000}, 108);
  ASSERT_EQ(launch.step_count, 1);
  EXPECT_STREQ(launch.steps[0].entry, "mj_attention");
  EXPECT_EQ(launch.steps[0].blocks, 2 * 2 * 8);
  EXPECT_EQ(launch.steps[0].threads, 128);
  EXPECT_EQ(launch.splits, 1);
  EXPECT_EQ(launch.workspace_bytes, 0);
}

TEST(DeviceLaunch, SplitsFewRowsOverTheDevice) {
  const KernelSpec spec = *select(problem_of(MJ_BF16, 128, true)).spec;
  for (const int multiprocessors : {1, 46, 108, 132, 170}) {
    for (const int64_t kv_heads : {1, 8, 32}) {
      for (const int64_t kv_len : {0, 1, 300, 4096, 131072}) {
        for (const int64_t q_len : {1, 3, 16}) {
          const LaunchShape shape = {2, kv_heads, kv_heads, q_len, kv_len};
          const DeviceLaunch launch = device_launch(spec, shape, multiprocessors);
          const int64_t blocks = 2 * kv_heads;
          const int64_t tiles = (kv_len + spec.tile_k - 1) / spec.tile_k;
          ASSERT_GE(launch.splits, 1);
          ASSERT_LE(launch.splits, static_cast<int>(mj_max_device_splits));
          EXPECT_EQ(launch.steps[0].blocks, blocks * launch.splits);
          if (launch.splits > 1) {
            EXPECT_GE(tiles / launch.splits, 4);
            ASSERT_EQ(launch.step_count, 2);
            EXPECT_STREQ(launch.steps[1].entry, "mj_merge");
            EXPECT_EQ(launch.steps[1].blocks, blocks * q_len);
            EXPECT_EQ(launch.workspace_bytes, launch.splits * blocks * q_len * (128 + 4) * 4);
          } else {
            EXPECT_EQ(launch.step_count, 1);
            EXPECT_EQ(launch.workspace_bytes, 0);
          }
          // Long enough keys keep nine of ten multiprocessors at work.
          if (tiles / 4 >= multiprocessors) {
            const int64_t waves = (blocks * launch.splits + multiprocessors - 1) / multiprocessors;
            EXPECT_GE(10 * blocks * launch.splits, 8 * waves * multiprocessors)
                << multiprocessors << " " << kv_heads << " " << launch.splits;
          }
        }
      }
    }
  }
}

// A sequence: which kernels, in which order, and that the workspace holds what they hand on.
TEST(DeviceLaunch, OfASequenceIsSeveralKernels) {
  const char* source =
      "attention main() { mask causal() & (sink(4) then top_k(10%) then top_p(0.5) then "
      "random(0.1)) "
      "}";
  const auto names = [](const DeviceLaunch& launch) {
    std::string all;
    for (int i = 0; i < launch.step_count; ++i)
      all += std::string(all.empty() ? "" : " ") + launch.steps[static_cast<size_t>(i)].entry;
    return all;
  };
  const KernelSpec decode = *select(problem_of(MJ_BF16, 128, true), "sm_80", source).spec;
  EXPECT_EQ(decode.template_name, "nvptx/select_decode");
  EXPECT_EQ(decode.key_sets, 4);  // the active keys, and those of three selectors
  EXPECT_TRUE(decode.ranks_by_mass);
  const DeviceLaunch few = device_launch(decode, {1, 8, 8, 1, 32768}, 108);
  EXPECT_EQ(names(few), "mj_select mj_attention mj_merge");
  EXPECT_EQ(few.steps[0].blocks, 8);
  EXPECT_EQ(few.steps[1].blocks, 8 * few.splits);
  EXPECT_GT(few.splits, 1);
  EXPECT_EQ(few.plan.words, 1024);

  const KernelSpec forward = *select(problem_of(MJ_BF16, 128, false), "sm_80", source).spec;
  EXPECT_EQ(forward.template_name, "nvptx/select_forward");
  const LaunchShape shape = {2, 8, 2, 300, 1000};
  const DeviceLaunch many = device_launch(forward, shape, 108);
  EXPECT_EQ(names(many), "mj_select mj_tiles mj_attention");
  EXPECT_EQ(many.steps[0].blocks, 4 * 108);
  EXPECT_EQ(many.plan.tile_words, 1);

  // What place() gives addresses to lies in the workspace, in order and without overlap.
  MjSelectArgs args = {};
  EXPECT_EQ(place(many, 1 << 20, 0, args), sizeof(MjSelectArgs));
  const auto at = [&](const void* address) {
    return reinterpret_cast<int64_t>(address) - (1 << 20);
  };
  const int64_t rows = 2 * 8 * 300;
  EXPECT_GE(at(args.plan.numbers) - at(args.plan.sets), rows * 4 * many.plan.words * 4);
  EXPECT_GE(at(args.plan.temporary) - at(args.plan.numbers), rows * mj_max_stages * 8);
  EXPECT_GE(at(args.plan.tiles) - at(args.plan.temporary),
            many.steps[0].blocks * many.plan.temporary_bytes);
  EXPECT_GE(many.workspace_bytes - at(args.plan.tiles), 2 * 8 * 3 * 4);
  EXPECT_EQ(
      place(device_launch(*select(problem_of(MJ_BF16, 128, false)).spec, shape, 108), 0, 0, args),
      sizeof(MjDeviceArgs));
}

// Sets of 256 MiB at most: whole tiles of queries a round.
TEST(DeviceLaunch, LongPrefillsOfSequencesRunInRounds) {
  const char* source = "attention main() { mask causal() & top_k(10%) }";
  const KernelSpec spec = *select(problem_of(MJ_BF16, 128, false), "sm_80", source).spec;
  EXPECT_EQ(queries_a_round(spec, {1, 32, 8, 4096, 4096}), 4096);
  const int64_t queries = queries_a_round(spec, {1, 32, 8, 131072, 131072});
  EXPECT_EQ(queries, 512);  // of 16 KiB a row and head
  EXPECT_LE(device_launch(spec, {1, 32, 8, queries, 131072}, 108).workspace_bytes,
            int64_t{300} << 20);
  EXPECT_EQ(queries_a_round(spec, {1, 32, 8, 300, 4096}, 1), spec.tile_q);
  const KernelSpec decode = *select(problem_of(MJ_BF16, 128, true), "sm_80", source).spec;
  EXPECT_EQ(queries_a_round(decode, {64, 32, 32, 1, 1 << 20}, 1), 1);
}

// A query that was prepared goes to shared memory where it fits.
TEST(DeviceLaunch, LargePreparedQueriesAreInTheWorkspace) {
  const char* source =
      "attention main() { mask top_k(10%, by = pq_codes(sub_dims = 2, bits = 10)) }";
  const KernelSpec spec = *select(problem_of(MJ_BF16, 128, true), "sm_80", source).spec;
  const DeviceLaunch small = device_launch(spec, {1, 1, 1, 1, 1000, 4000}, 108);
  const DeviceLaunch large = device_launch(spec, {1, 1, 1, 1, 1000, 262144}, 108);
  EXPECT_EQ(small.plan.prepared_shared, 4032);
  EXPECT_EQ(large.plan.prepared_shared, 0);
  EXPECT_EQ(large.plan.temporary_bytes, small.plan.temporary_bytes + 262144);
  EXPECT_EQ(small.steps[0].shared_memory, large.steps[0].shared_memory + 4032);
}

// 24 heads share a key head: blocks of 16 rows, and their rest.
TEST(DeviceLaunch, PacksHeadsIntoBlocksOfRows) {
  const KernelSpec spec = *select(problem_of(MJ_BF16, 64, true)).spec;
  EXPECT_EQ(device_launch(spec, {1, 24, 1, 1, 64}, 1).steps[0].blocks, 2);
  EXPECT_EQ(device_launch(spec, {1, 24, 1, 5, 64}, 1).steps[0].blocks, 8);
  EXPECT_EQ(device_launch(spec, {1, 4, 2, 40, 64}, 1).steps[0].blocks, 2 * 3 * 2);
}

}  // namespace
}  // namespace maskjit::codegen
