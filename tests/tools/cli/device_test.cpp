// Commands for GPUs: run on the emulator, profile, machine code, packs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>

#include "tests/tools/cli/program.h"
#include "tools/io/tensor_file.h"

namespace maskjit::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::vector<std::string> kInputs = {"--query", "q.npy", "--key", "k.npy", "--value", "v.npy"};

std::vector<std::string> with_inputs(std::vector<std::string> line,
                                     const std::vector<std::string>& rest) {
  line.insert(line.end(), kInputs.begin(), kInputs.end());
  line.insert(line.end(), rest.begin(), rest.end());
  return line;
}

TEST(Device, RunOnTheEmulatorAgreesWithTheReference) {
  for (const char* dtype : {"f32", "f16", "bf16"}) {
    const Program program;
    program.write_attention();
    const Outcome outcome = program.run(with_inputs(
        {"run", "causal", "--device", "emulator", "--target", "sm_90"},
        {"--out", "o.npy", "--lse", "l.npy", "--row-max", "m.npy", "--numerator", "n.npy",
         "--denominator", "d.npy", "--weights", "w.npy", "--dtype", dtype, "--check", "--json"}));
    EXPECT_EQ(outcome.code, 0) << dtype << outcome.err;
    const auto json = outcome.json();
    for (const char* result : {"output", "lse", "row_max", "numerator", "denominator", "weights"})
      EXPECT_EQ(json["check"][result]["ok"], true) << dtype << result << outcome.out;
    EXPECT_EQ(json["target"], "sm_90");
    EXPECT_EQ(json["origin"], "compiled");
    const auto again =
        program.run(with_inputs({"run", "causal", "--device", "emulator", "--target", "sm_90"},
                                {"--out", "o.npy", "--dtype", dtype, "--json"}));
    EXPECT_EQ(again.json()["template"], "nvptx/attention_forward") << again.err;
  }
}

TEST(Device, RunTakesTensorsAndRuntimeParameters) {
  const Program program;
  program.write_attention();
  program.write("s.masker",
                "attention main(runtime cap: float, bias: tensor<f32>[num_heads, kv_len]) {\n"
                "  mask causal()\n  score cap * tanh(s / cap) + bias[head, k]\n}\n");
  program.write_tensor("b.npy", {2, 40});
  const Outcome outcome = program.run(
      with_inputs({"run", "s.masker", "--device", "emulator"},
                  {"--set", "cap=2.5", "--tensor", "bias=b.npy", "--out", "o.npy", "--check"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err << outcome.out;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("for sm_80"), HasSubstr("ok")));
}

TEST(Device, WrongDevicesAreNamed) {
  const Program program;
  program.write_attention();
  const auto error = [&](const std::string& device, const std::string& target) {
    const Outcome outcome = program.run(
        with_inputs({"run", "causal", "--device", device, "--target", target}, {"--out", "o.npy"}));
    EXPECT_EQ(outcome.code, 1);
    return outcome.err;
  };
  EXPECT_THAT(error("tpu", "sm_80"), HasSubstr("there is no device 'tpu'"));
  EXPECT_THAT(error("emulator", "sm_60"), HasSubstr("there is no device target 'sm_60'"));
  EXPECT_THAT(error("cpu", "sm_80"), HasSubstr("'sm_80' is a GPU: give a device"));
}

TEST(Device, BenchKeepsTensorsThere) {
  const Program program;
  for (const std::string device : {"emulator", "cuda"}) {
    const Outcome outcome = program.run({"bench", "causal", "--kv-len", "64", "--dtype", "f16",
                                         "--runs", "2", "--device", device, "--json"},
                                        {}, {{"MASKJIT_LIBCUDA", MASKJIT_FAKE_CUDA}});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto json = outcome.json();
    EXPECT_EQ(json["results"][0]["target"], "sm_80");
    EXPECT_EQ(json["results"][1]["runs"], 2);
    EXPECT_GT(json["results"][0]["median_milliseconds"].get<double>(), 0);
  }
}

TEST(Device, RunOnCuda) {
  const Program program;
  program.write_attention();
  const Outcome outcome =
      program.run(with_inputs({"run", "causal", "--device", "cuda:1"},
                              {"--out", "o.npy", "--lse", "l.npy", "--dtype", "f16", "--check"}),
                  {}, {{"MASKJIT_LIBCUDA", MASKJIT_FAKE_CUDA}});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const Outcome info = program.run({"info"}, {}, {{"MASKJIT_LIBCUDA", MASKJIT_FAKE_CUDA}});
  EXPECT_THAT(info.out, AllOf(HasSubstr("CUDA      12.4\n"), HasSubstr("cuda:1 Fake GPU 1")));
}

TEST(Profile, CountsAgainstTheIdeal) {
  const Program program;
  const Outcome outcome =
      program.run({"profile", "causal", "--kv-len", "256", "--heads", "2", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto json = outcome.json();
  EXPECT_EQ(json["template"], "nvptx/attention_forward");
  EXPECT_EQ(json["matrix_operations"], json["ideal"]["matrix_operations"]);
  const double bytes = json["bytes_read"], ideal = json["ideal"]["bytes_read"];
  EXPECT_GE(bytes, ideal);
  EXPECT_LE(bytes, 1.05 * ideal);
  EXPECT_EQ(json["bytes_written"], json["ideal"]["bytes_written"]);
  EXPECT_EQ(json["shared"]["matrix_loads"]["conflicts"], 0);
  EXPECT_GT(json["instructions"]["matrix"].get<int>(), 0);
  // 256 x 256 in tiles of 128 x 64, causal: 2 + 4 tiles a head.
  EXPECT_EQ(json["ideal"]["visited_tiles"], 12);
  EXPECT_EQ(json["ideal"]["tiles"], 16);

  const Outcome text = program.run({"profile", "causal", "--kv-len", "256", "--heads", "2"});
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out,
              AllOf(HasSubstr("nvptx/attention_forward for sm_80"), HasSubstr("Instructions"),
                    HasSubstr("bank conflicts"), HasSubstr("Against the ideal"),
                    HasSubstr("12 of 16 tiles of 128 x 64 are not empty")));
}

TEST(Profile, DecodingReadsKeysOnceForAGroup) {
  const Program program;
  const Outcome outcome = program.run({"profile", "causal", "--q-len", "1", "--kv-len", "4096",
                                       "--heads", "8", "--kv-heads", "2", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto json = outcome.json();
  EXPECT_EQ(json["template"], "nvptx/attention_decode");
  const int64_t keys_and_values = int64_t{2} * 4096 * 2 * 64 * 2;
  EXPECT_EQ(json["ideal"]["bytes_read"], keys_and_values + 8 * 64 * 2);
  // What splits read beside them: queries, once each. The merge reads what they leave.
  const int64_t bytes = json["kernels"][0]["bytes_read"];
  EXPECT_GE(bytes, keys_and_values);
  EXPECT_LE(static_cast<double>(bytes), 1.05 * static_cast<double>(keys_and_values));
}

TEST(Profile, AForwardOf512TakesLessThanTenSeconds) {
  const Program program;
  const Outcome outcome =
      program.run({"profile", "causal", "--kv-len", "512", "--heads", "2", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const double milliseconds = outcome.json()["emulation_milliseconds"];
  std::cout << "1x2x512x512x64 bf16 causal: " << milliseconds << " ms on the emulator\n";
#if !defined(__SANITIZE_ADDRESS__)
  EXPECT_LT(milliseconds, 10000);
#endif
}

TEST(MachineCode, CubinAndReport) {
  const Program program;
  const std::vector<std::string> line = {"compile", "causal", "--target",   "sm_80",
                                         "--dtype", "bf16",   "--head-dim", "128"};
  const auto with = [&](std::vector<std::string> rest) {
    rest.insert(rest.begin(), line.begin(), line.end());
    return rest;
  };
  const Outcome ptx = program.run(with({"--emit", "ptx"}));
  EXPECT_THAT(ptx.out, HasSubstr(".target sm_80"));
  const Outcome none =
      program.run(with({"--emit", "cubin", "-o", "k.cubin"}), {}, {{"MASKJIT_PTXAS", "nowhere"}});
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.err, HasSubstr("MASKJIT_PTXAS is nowhere, which is no program"));
  const auto info = program.run({"info", "--json"}).json();
  if (info["ptxas"]["available"] != true) GTEST_SKIP() << info["ptxas"]["reason"];
  const Outcome cubin = program.run(with({"--emit", "cubin", "-o", "k.cubin"}));
  EXPECT_EQ(cubin.code, 0) << cubin.err;
  EXPECT_THAT(cubin.err, AllOf(HasSubstr("mj_attention: "), HasSubstr(" registers, ")));
  EXPECT_GT(std::filesystem::file_size(program.folder() / "k.cubin"), 1000U);
  const Outcome report = program.run(with({"--emit", "sass-report"}));
  EXPECT_EQ(report.code, 0) << report.err;
  EXPECT_THAT(report.out, AllOf(HasSubstr("nvptx/attention_forward for sm_80"),
                                HasSubstr("of machine code by "), HasSubstr(" registers")));
  EXPECT_THAT(report.out, ::testing::AnyOf(HasSubstr("  matrix "),
                                           HasSubstr("no counts of instructions: no cuobjdump")));
}

TEST(Pack, KernelsAreUsedWhereNothingMayBeCompiled) {
  const Program program;
  program.write_attention();
  const Outcome packed =
      program.run({"pack", "kernels", "causal", "--head-dim", "16", "--dtype", "f32", "--json"});
  ASSERT_EQ(packed.code, 0) << packed.err;
  EXPECT_EQ(packed.json()["kernels"].size(), 2U);  // for many query rows and for few
  const std::vector<std::string> only = {"--packed", "kernels", "--require-packed", "--json"};
  auto line = with_inputs({"run", "causal"}, only);
  line.insert(line.end(), {"--out", "o.npy", "--check"});
  const Outcome run = program.run(line);
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.json()["origin"], "packed");
  line[1] = "full";
  const Outcome miss = program.run(line);
  EXPECT_EQ(miss.code, 1);
  EXPECT_THAT(miss.err, AllOf(HasSubstr("no packed kernel for this problem"),
                              HasSubstr("kernels has 2 kernels"), HasSubstr("causal: host/")));
  const Outcome listed = program.run({"pack", "kernels"});
  EXPECT_THAT(listed.out, AllOf(HasSubstr("causal"), HasSubstr("kernels: 2 kernels")));
}

TEST(Pack, WhatACacheHolds) {
  const Program program;
  program.write_attention();
  EXPECT_THAT(program.run({"pack", "kernels", "--from-cache"}).err,
              HasSubstr("has no kernels of this build"));
  ASSERT_EQ(program.run(with_inputs({"run", "local"}, {"--set", "n=9", "--out", "o.npy"})).code, 0);
  ASSERT_EQ(program.run({"pack", "kernels", "--from-cache"}).code, 0);
  const Outcome run =
      program.run(with_inputs({"run", "local"}, {"--set", "n=9", "--out", "o.npy", "--packed",
                                                 "kernels", "--require-packed", "--json"}));
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.json()["origin"], "packed");
}

TEST(Pack, DeviceKernelsCarryPtx) {
  const Program program;
  program.write_attention();
  const Outcome packed =
      program.run({"pack", "kernels", "causal", "--head-dim", "16", "--target", "sm_80"});
  ASSERT_EQ(packed.code, 0) << packed.err;
  const Outcome run = program.run(with_inputs(
      {"run", "causal", "--device", "emulator", "--target", "sm_86"},
      {"--out", "o.npy", "--packed", "kernels", "--require-packed", "--check", "--json"}));
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.json()["target"], "sm_80");
}

}  // namespace
}  // namespace maskjit::testing
