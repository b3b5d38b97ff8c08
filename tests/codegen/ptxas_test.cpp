// Every device kernel of a grid of shapes assembles for every GPU that is a target, where ptxas is
// present: the emulator's reading of PTX is ours, this is NVIDIA's.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
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
  MjElement element;
  int head_dim;
};

constexpr Shape kShapes[] = {{MJ_BF16, 64}, {MJ_BF16, 128}, {MJ_F16, 80}, {MJ_F32, 128}};

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

class Ptxas : public testing::TestWithParam<std::string> {};

TEST_P(Ptxas, AssemblesEveryShape) {
  const std::string ptxas = find_ptxas();
  if (ptxas.empty()) GTEST_SKIP() << "no ptxas in PATH or CUDA_HOME";
  const Target target = *Target::parse(GetParam());
  driver::CheckedSource checked =
      driver::check("test.masker", "attention main() { mask causal() & (sink(4) | local(500)) }");
  ASSERT_TRUE(checked.program);
  diag::DiagnosticEmitter diagnostics;
  const auto bound = driver::bind(*checked.program, {}, diagnostics);
  ASSERT_TRUE(bound);
  const fs::path folder =
      fs::temp_directory_path() / ("maskjit-ptxas-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  for (const Shape& shape : kShapes) {
    ProblemSpec problem;
    problem.element = shape.element;
    problem.head_dim = problem.head_dim_v = shape.head_dim;
    const KernelSpec spec = *select_template(bound->program, problem, target).spec;
    SCOPED_TRACE(spec.print());
    const auto compiled = compile(bound->program, bound->tiles, spec, target);
    ASSERT_TRUE(std::holds_alternative<CodeArtifact>(compiled));
    const std::string& ptx = std::get<CodeArtifact>(compiled).object;
    // Tiles are registers: no array is left in local memory.
    EXPECT_EQ(ptx.find(".local"), std::string::npos);
    const auto [ok, log] = assemble(ptxas, target, ptx, (folder / "kernel").string());
    EXPECT_TRUE(ok) << log;
    std::string line;
    std::istringstream lines(log);
    while (std::getline(lines, line)) {
      if (line.find("spill") != std::string::npos || line.find("Used") != std::string::npos)
        std::cout << target.print() << " " << spec.print() << ": " << line << "\n";
    }
  }
  fs::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(Targets, Ptxas,
                         testing::Values("sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_120a"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace maskjit::codegen
