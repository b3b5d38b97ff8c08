// run, bench, info and cache.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "tests/tools/cli/program.h"
#include "tools/io/file.h"
#include "tools/io/tensor_file.h"

namespace maskjit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<std::string> kInputs = {"--query", "q.npy", "--key", "k.npy", "--value", "v.npy"};

std::vector<std::string> with_inputs(std::vector<std::string> line,
                                     const std::vector<std::string>& rest) {
  line.insert(line.end(), kInputs.begin(), kInputs.end());
  line.insert(line.end(), rest.begin(), rest.end());
  return line;
}

TEST(Run, AgreesWithTheReferenceInEveryType) {
  for (const char* dtype : {"f32", "f16", "bf16"}) {
    const Program program;
    program.write_attention();
    const Outcome outcome = program.run(with_inputs(
        {"run", "causal"}, {"--out", "o.safetensors", "--lse", "o.safetensors", "--row-max",
                            "m.npy", "--numerator", "n.npy", "--denominator", "d.npy", "--weights",
                            "w.npy", "--dtype", dtype, "--check", "--json"}));
    EXPECT_EQ(outcome.code, 0) << dtype << outcome.err;
    const auto json = outcome.json();
    for (const char* result : {"output", "lse", "row_max", "numerator", "denominator", "weights"}) {
      EXPECT_EQ(json["check"][result]["ok"], true) << dtype << result << outcome.out;
    }
    EXPECT_EQ(json["origin"], "compiled");
    const Result<io::Tensor> output = io::read_tensor(program.folder() / "o.safetensors:output");
    ASSERT_TRUE(output);
    EXPECT_EQ(name_of(output->view().type), dtype);
    EXPECT_THAT(output->view().shape, ElementsAre(1, 2, 40, 16));
    EXPECT_THAT(io::read_tensor(program.folder() / "w.npy")->view().shape,
                ElementsAre(1, 2, 40, 40));
    // Without the dense results it is another kernel, which the second process finds on disk.
    const std::vector<std::string> plain =
        with_inputs({"run", "causal"}, {"--out", "o.npy", "--dtype", dtype, "--json"});
    EXPECT_EQ(program.run(plain).json()["origin"], "compiled");
    const auto again = program.run(plain).json();
    EXPECT_EQ(again["origin"], "disk");
  }
}

TEST(Run, TheFirstRowOfCausalAttentionIsTheFirstValue) {
  const Program program;
  program.write_attention();
  ASSERT_EQ(program.run(with_inputs({"run", "causal"}, {"--out", "o.npy"})).code, 0);
  const Result<io::Tensor> output = io::read_tensor(program.folder() / "o.npy");
  const Result<io::Tensor> value = io::read_tensor(program.folder() / "v.npy");
  ASSERT_TRUE(output && value);
  for (int i = 0; i < 16; ++i) EXPECT_FLOAT_EQ(output->data<float>()[i], value->data<float>()[i]);
}

TEST(Run, LayoutsGiveTheSameNumbers) {
  const Program program;
  program.write_attention();
  ASSERT_EQ(program.run(with_inputs({"run", "causal"}, {"--out", "o.npy"})).code, 0);
  for (const char* name : {"q.npy", "k.npy", "v.npy", "o.npy"}) {  // [B, H, L, D] -> [B, L, H, D]
    const Result<io::Tensor> tensor = io::read_tensor(program.folder() / name);
    ASSERT_TRUE(tensor);
    TensorView view = tensor->view();
    std::swap(view.shape[1], view.shape[2]);
    std::swap(view.strides[1], view.strides[2]);
    const Result<io::Tensor> permuted = io::convert(view, view.type);
    ASSERT_TRUE(permuted);
    ASSERT_TRUE(io::write_tensors({{program.folder() / name, "", *permuted}}));
  }
  const Outcome outcome = program.run(
      with_inputs({"run", "causal"}, {"--layout", "blhd", "--out", "p.npy", "--check"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Result<io::Tensor> expected = io::read_tensor(program.folder() / "o.npy");
  const Result<io::Tensor> output = io::read_tensor(program.folder() / "p.npy");
  EXPECT_EQ(output->view().shape, expected->view().shape);
  for (int64_t i = 0; i < output->view().elements(); ++i) {
    ASSERT_EQ(output->data<float>()[i], expected->data<float>()[i]);
  }
}

TEST(Run, ParametersTensorsAndMasksReachTheKernel) {
  const Program program;
  program.write_attention();
  program.write(
      "p.masker",
      "attention p(n: int, runtime m: int, id: tensor<i32>[kv_len], cap: float = 30.0) {\n"
      "    mask id[q] == id[k] & (local(n) | k < m)\n    score softcap(s, cap)\n}\n");
  program.write_tensor("id.npy", {40}, ElementType::I32);
  program.write_tensor("a.npy", {1, 1, 40, 40});
  const Outcome outcome = program.run(
      with_inputs({"run", "p.masker", "--set", "n=20%", "--set", "m=3", "--tensor", "id=id.npy"},
                  {"--additive-mask", "a.npy", "--scale", "0.3", "--q-offset", "-2", "--out",
                   "o.npy", "--lse", "l.npy", "--check"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("output: relative error"));
  EXPECT_THAT(outcome.out, HasSubstr("(ok)"));
}

TEST(Run, RowsWithoutKeysGiveZeroAndMinusInfinity) {
  const Program program;
  program.write_attention();
  const Outcome outcome =
      program.run(with_inputs({"run", "none"}, {"--out", "o.npy", "--lse", "l.npy", "--check"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(io::read_tensor(program.folder() / "o.npy")->data<float>()[7], 0);
  EXPECT_EQ(io::read_tensor(program.folder() / "l.npy")->data<float>()[7], -INFINITY);
}

TEST(Run, BadDataIsNamed) {
  const Program program;
  program.write_attention();
  program.write_tensor("flat.npy", {2, 40, 16});
  program.write_tensor("wide.npy", {1, 2, 40, 16}, ElementType::F64);
  program.write_tensor("three.npy", {1, 3, 40, 16});
  program.write_tensor("short.npy", {1, 2, 39, 16});
  program.write("torn.npy", io::read_text(program.folder() / "q.npy")->substr(0, 1000));
  program.write("junk.npy", "junk");
  const struct {
    std::vector<std::string> arguments;
    std::string message;
  } cases[] = {
      {{"--query", "flat.npy", "--key", "k.npy", "--value", "v.npy", "--out", "o.npy"},
       "--query flat.npy: f32[2, 40, 16] has 3 dimensions; [batch, heads, length, head dimension] "
       "is expected"},
      {{"--query", "wide.npy", "--key", "k.npy", "--value", "v.npy", "--out", "o.npy"},
       "--query wide.npy: f64[1, 2, 40, 16] cannot be computed with; convert it with --dtype f32, "
       "f16 or bf16"},
      {{"--query", "q.npy", "--key", "torn.npy", "--value", "v.npy", "--out", "o.npy"},
       "torn.npy: is truncated: its shape needs 5120 bytes, 872 are there"},
      {{"--query", "q.npy", "--key", "junk.npy", "--value", "v.npy", "--out", "o.npy"},
       "junk.npy: is not a .npy file"},
      {{"--query", "three.npy", "--key", "k.npy", "--value", "v.npy", "--out", "o.npy"}, "3"},
      {{"--query", "q.npy", "--key", "k.npy", "--value", "short.npy", "--out", "o.npy"}, "39"},
      {{"--query", "q.npy", "--key", "k.npy", "--value", "v.npy"},
       "nothing to compute: give --out, another result, or --check"},
      {{"--query", "q.npy", "--key", "k.npy", "--value", "v.npy", "--out", "o.bin"},
       "o.bin: is neither a .npy nor a .safetensors file"},
      {{"--query", "q.npy", "--key", "k.npy", "--value", "v.npy", "--out", "no/o.npy"},
       "no/o.npy: cannot create it"},
      {{"--query", "q.npy", "--key", "k.npy", "--value", "v.npy", "--out", "o.npy",
        "--additive-mask", "flat.npy"},
       "f32[2, 40, 16]"},
  };
  for (const auto& c : cases) {
    std::vector<std::string> line = {"run", "causal"};
    line.insert(line.end(), c.arguments.begin(), c.arguments.end());
    const Outcome outcome = program.run(line);
    EXPECT_EQ(outcome.code, 1) << c.message << outcome.out;
    EXPECT_THAT(outcome.err, HasSubstr(c.message));
  }
}

TEST(Run, SequencesHaveNoCheck) {
  const Program program;
  program.write("s.masker", "attention chosen { mask causal() & top_k(16) }\n");
  const Outcome outcome = program.run(
      {"run", "s.masker", "--query", "q.npy", "--key", "q.npy", "--value", "q.npy", "--check"});
  EXPECT_NE(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("'chosen' is a sequence with selectors: --check is for"));
}

TEST(Bench, ComparesWithDenseAttention) {
  const Program program;
  const Outcome outcome = program.run({"bench", "local", "--set", "n=32", "--kv-len", "256",
                                       "--heads", "2", "--runs", "5", "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const auto json = outcome.json();
  ASSERT_EQ(json["results"].size(), 2U);
  EXPECT_EQ(json["results"][0]["name"], "local");
  EXPECT_EQ(json["results"][0]["runs"], 5);
  EXPECT_EQ(json["results"][1]["active_elements"], 2 * 256 * 256);
  EXPECT_EQ(json["results"][0]["active_elements"], 2 * (256 * 32 - 31 * 32 / 2));
  EXPECT_GT(json["ratio"].get<double>(), 0);
  const Outcome text =
      program.run({"bench", "causal", "--kv-len", "100", "--runs", "2", "--dtype", "bf16"});
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out, HasSubstr("query bf16[1, 1, 100, 64]"));
  EXPECT_THAT(text.out, HasSubstr("of the time of dense attention"));
}

TEST(Bench, TimesTheCompiler) {
  const Program program;
  program.write("s.masker", "masker near(n: int) = local(n)\n");
  const Outcome outcome =
      program.run({"bench", "compile", "s.masker", "--set", "n=7", "--runs", "2", "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const auto json = outcome.json();
  for (const char* row :
       {"check", "optimise", "codegen", "load", "all stages", "engine, empty cache",
        "engine, from disk", "find in memory", "process, empty cache", "process, from disk"}) {
    EXPECT_GT(json["median_milliseconds"][row].get<double>(), 0) << row;
  }
}

TEST(Info, NamesVersionsTargetsAndCache) {
  const Program program;
  const Outcome outcome = program.run({"info"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("\nCUDA "));
  EXPECT_THAT(outcome.out, HasSubstr("\nptxas "));
  EXPECT_THAT(outcome.out, HasSubstr("nvptx/attention_forward"));
  const auto json = program.run({"info", "--json"}).json();
  EXPECT_EQ(json["version"], "0.1.0");
  EXPECT_EQ(json["targets"]["x86-64"], true);
  EXPECT_EQ(json["cache"]["directory"], program.folder() / "cache");
  EXPECT_GT(json["threads"].get<int>(), 0);
  EXPECT_TRUE(json["device_templates"].contains("nvptx/attention_forward"));
}

TEST(Info, SaysInOneLineWhyThereIsNoCuda) {
  const Program program;
  const Outcome outcome = program.run({"info"}, {}, {{"MASKJIT_LIBCUDA", "libmaskjit-none.so"}});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out,
              HasSubstr("\nCUDA      no CUDA driver: libmaskjit-none.so cannot be loaded ("));
  const Outcome run = program.run({"run", "causal", "--device", "cuda", "--query", "q.npy", "--key",
                                   "q.npy", "--value", "q.npy", "--out", "o.npy"},
                                  {}, {{"MASKJIT_LIBCUDA", "libmaskjit-none.so"}});
  EXPECT_EQ(run.code, 1);
}

TEST(Cache, ListsVerifiesAndClears) {
  const Program program;
  program.write_attention();
  EXPECT_EQ(program.run({"cache", "ls", "--json"}).json()["entries"].size(), 0U);
  ASSERT_EQ(program.run(with_inputs({"run", "causal"}, {"--out", "o.npy"})).code, 0);
  ASSERT_EQ(program.run(with_inputs({"run", "full"}, {"--out", "o.npy"})).code, 0);
  EXPECT_EQ(program.run({"cache", "ls", "--json"}).json()["entries"].size(), 2U);
  const Outcome list = program.run({"cache", "ls"});
  EXPECT_THAT(list.out, HasSubstr("host/attention_forward for x86-64"));
  EXPECT_THAT(list.out, HasSubstr(": 2 kernels, "));
  const Outcome good = program.run({"cache", "verify"});
  EXPECT_EQ(good.code, 0) << good.out;
  EXPECT_THAT(good.out, HasSubstr(": 2 kernels, 0 bad\n"));

  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(program.folder() / "cache")) {
    if (entry.path().extension() != ".mjk") continue;
    std::filesystem::resize_file(entry.path(), entry.file_size() / 2);
    break;
  }
  const Outcome bad = program.run({"cache", "verify"});
  EXPECT_EQ(bad.code, 1);
  EXPECT_THAT(bad.out, HasSubstr(": 2 kernels, 1 bad\n"));
  // A damaged entry cannot be told from an empty cache.
  EXPECT_EQ(program.run(with_inputs({"run", "causal"}, {"--out", "o.npy"})).code, 0);
  EXPECT_EQ(program.run(with_inputs({"run", "full"}, {"--out", "o.npy"})).code, 0);
  EXPECT_EQ(program.run({"cache", "verify"}).code, 0);

  const Outcome clear = program.run({"cache", "clear"});
  EXPECT_EQ(clear.code, 0);
  EXPECT_THAT(clear.out, HasSubstr(": removed 2 kernels, "));
  EXPECT_EQ(program.run({"cache", "ls", "--json"}).json()["entries"].size(), 0U);
}

}  // namespace
}  // namespace maskjit::testing
