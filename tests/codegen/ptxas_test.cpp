// Every device kernel of a grid of shapes assembles for every GPU that is a target, where ptxas is
// present: the emulator's reading of PTX is ours, this is NVIDIA's. Those of the default shapes
// keep everything in registers. MASKJIT_PTXAS_TABLE=FILE appends the table of registers to FILE.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "codegen/compile.h"
#include "masker_dsl/driver/driver.h"

namespace maskjit::codegen {
namespace {

namespace fs = std::filesystem;

std::string find_ptxas() {
  std::vector<std::string> folders;
  if (const char* path = std::getenv("PATH")) {
    std::stringstream stream(path);
    for (std::string folder; std::getline(stream, folder, ':');) folders.push_back(folder);
  }
  if (const char* cuda = std::getenv("CUDA_HOME")) folders.push_back(std::string(cuda) + "/bin");
  for (const std::string& folder : folders) {
    const std::string program = folder + "/ptxas";
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

struct Shape {
  const char* kernel;  // the template's last word
  MjElement element;
  int head_dim;
  bool may_spill;  // not a default shape
  const char* source;
};

constexpr const char* kStreaming = "attention main() { mask causal() & (sink(4) | local(500)) }";
constexpr const char* kExplicit =
    "attention main(m: tensor<bit>[batch, num_heads, q_len, kv_len]) { mask explicit(m) }";
constexpr const char* kScored = "attention main() { mask causal() score softcap(s, 30.0) }";

constexpr const char* kChosen =
    "attention main() { mask causal() & (sink(4) then local(64) then top_k(10%, by = "
    "page_bound(16))) }";
// With every rule but magic_pig, and weights.
constexpr const char* kSampled =
    "attention main() { mask causal() & (sink(4) then top_k(5%) then top_p(0.5) then random(0.1) "
    "then adaptive(base = 5%, epsilon = 0.1, delta = 0.1)) }";

constexpr Shape kShapes[] = {
    {"forward", MJ_BF16, 64, false, kStreaming},
    {"forward", MJ_BF16, 128, false, kStreaming},
    {"forward", MJ_F16, 80, false, kStreaming},
    {"forward", MJ_F32, 64, false, kStreaming},
    {"forward", MJ_F32, 128, false, kStreaming},
    {"forward", MJ_BF16, 256, true, kStreaming},
    {"forward", MJ_BF16, 128, false, kExplicit},
    {"forward", MJ_BF16, 64, true, kScored},
    {"decode", MJ_BF16, 64, false, kStreaming},
    {"decode", MJ_BF16, 128, false, kStreaming},
    {"decode", MJ_F32, 128, false, kStreaming},
    {"decode", MJ_BF16, 256, true, kStreaming},
    {"decode", MJ_F16, 128, false, kExplicit},
    {"reference", MJ_BF16, 128, true, kStreaming},
    {"select_decode", MJ_BF16, 128, false, kChosen},
    {"select_decode", MJ_F16, 128, false, kSampled},
    {"select_forward", MJ_BF16, 128, true, kChosen},
    {"select_forward", MJ_BF16, 64, true, kSampled},
};

// Runs ptxas on `ptx`; its messages, and whether it succeeded.
std::pair<bool, std::string> assemble(const std::string& ptxas, const Target& target,
                                      const std::string& ptx, const std::string& stem) {
  std::ofstream(stem + ".ptx") << ptx;
  const std::string command = "'" + ptxas + "' -v -arch=" + target.print() + " '" + stem +
                              ".ptx' -o '" + stem + ".cubin' > '" + stem + ".log' 2>&1";
  const int status = std::system(command.c_str());
  std::stringstream log;
  log << std::ifstream(stem + ".log").rdbuf();
  return {WIFEXITED(status) && WEXITSTATUS(status) == 0, log.str()};
}

int bytes_before(const std::string& log, const std::string& words) {
  const std::regex pattern("([0-9]+) bytes " + words);
  int total = 0;
  for (std::sregex_iterator i(log.begin(), log.end(), pattern), end; i != end; ++i)
    total += std::stoi((*i)[1]);
  return total;
}

// Registers of each kernel of the module, in the order of ptxas.
std::string registers(const std::string& log) {
  static const std::regex pattern("Used ([0-9]+) registers");
  std::string text;
  for (std::sregex_iterator i(log.begin(), log.end(), pattern), end; i != end; ++i)
    text += (text.empty() ? "" : ", ") + (*i)[1].str();
  return text;
}

class Ptxas : public testing::TestWithParam<std::string> {};

TEST_P(Ptxas, AssemblesEveryShape) {
  const std::string ptxas = find_ptxas();
  if (ptxas.empty()) GTEST_SKIP() << "no ptxas in PATH or CUDA_HOME";
  const Target target = *Target::parse(GetParam());
  const fs::path folder =
      fs::temp_directory_path() / ("maskjit-ptxas-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  std::string table;
  for (const Shape& shape : kShapes) {
    driver::CheckedSource checked = driver::check("test.masker", shape.source);
    ASSERT_TRUE(checked.program);
    diag::DiagnosticEmitter diagnostics;
    const auto bound = driver::bind(*checked.program, {}, diagnostics);
    ASSERT_TRUE(bound);
    ProblemSpec problem;
    problem.element = shape.element;
    problem.head_dim = problem.head_dim_v = shape.head_dim;
    const std::string kernel = shape.kernel;
    problem.short_queries = kernel.ends_with("decode");
    problem.tensors.resize(bound->program.function.tensors().size());
    const Selection selection =
        select_template(bound->program, problem, target,
                        (kernel.starts_with("select") ? "nvptx/" : "nvptx/attention_") + kernel);
    ASSERT_TRUE(selection.spec) << selection.refused.back().reason;
    const KernelSpec& spec = *selection.spec;
    SCOPED_TRACE(spec.print());
    const auto compiled = compile(bound->program, bound->tiles, spec, target);
    ASSERT_TRUE(std::holds_alternative<CodeArtifact>(compiled));
    const std::string& ptx = std::get<CodeArtifact>(compiled).object;
    // Tiles are registers: no array is left in local memory. (The class of a tile of an explicit
    // mask is asked for with subscripts in memory, and so are weights of many rows.)
    if (shape.source != kExplicit && (shape.source != kSampled || problem.short_queries)) {
      EXPECT_EQ(ptx.find(".local"), std::string::npos);
    }
    const auto [ok, log] = assemble(ptxas, target, ptx, (folder / "kernel").string());
    EXPECT_TRUE(ok) << log;
    const int stores = bytes_before(log, "spill stores"), loads = bytes_before(log, "spill loads");
    if (!shape.may_spill) {
      EXPECT_EQ(stores + loads, 0) << log;
    }
    table += "| " + target.print() + " | " + shape.kernel + " | " +
             (shape.element == MJ_F32    ? "f32"
              : shape.element == MJ_BF16 ? "bf16"
                                         : "f16") +
             ", " + std::to_string(shape.head_dim) +
             (shape.source == kExplicit  ? ", bits"
              : shape.source == kScored  ? ", softcap"
              : shape.source == kChosen  ? ", pages"
              : shape.source == kSampled ? ", samples"
                                         : "") +
             " | " + std::to_string(spec.tile_q) + " x " + std::to_string(spec.tile_k) + ", " +
             std::to_string(spec.warps) + " | " + std::to_string(spec.shared_memory) + " | " +
             registers(log) + " | " + std::to_string(stores) + " / " + std::to_string(loads) +
             " |\n";
  }
  std::cout << table;
  if (const char* file = std::getenv("MASKJIT_PTXAS_TABLE"))
    std::ofstream(file, std::ios::app) << table;
  fs::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(Targets, Ptxas,
                         testing::Values("sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_120a"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace maskjit::codegen
