// Partial checks of generated code: each .masker file of files/ starts with "# RUN: <stage>
// <target> D=<n> <element>" and carries FileCheck directives in its comments, which the text of
// that stage must match.
#include <llvm/FileCheck/FileCheck.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/raw_ostream.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "codegen/compile.h"
#include "masker_dsl/driver/driver.h"

namespace maskjit::codegen {
namespace {

std::vector<std::filesystem::path> files() {
  std::vector<std::filesystem::path> all;
  for (const auto& entry :
       std::filesystem::directory_iterator(MASKJIT_SOURCE_DIR "/tests/codegen/files")) {
    if (entry.path().extension() == ".masker") all.push_back(entry.path());
  }
  std::sort(all.begin(), all.end());
  return all;
}

class FileTest : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(FileTest, MatchesItsDirectives) {
  std::ifstream in(GetParam());
  std::stringstream buffer;
  buffer << in.rdbuf();
  const std::string text = buffer.str();
  std::istringstream first_line(text.substr(0, text.find('\n')));
  std::string hash, run, stage, target_name, head_dim, element;
  first_line >> hash >> run >> stage >> target_name >> head_dim >> element;
  ASSERT_EQ(run, "RUN:");
  const std::optional<Target> target = Target::parse(target_name);
  ASSERT_TRUE(target) << target_name;
  ASSERT_EQ(head_dim.substr(0, 2), "D=");

  driver::CheckedSource checked = driver::check(GetParam().string(), text);
  ASSERT_TRUE(checked.program) << diag::render_all(checked.diagnostics);
  diag::DiagnosticEmitter diagnostics;
  const auto bound = driver::bind(*checked.program, {}, diagnostics);
  ASSERT_TRUE(bound) << diag::render_all(diagnostics);
  ProblemSpec problem;
  problem.head_dim = problem.head_dim_v = std::stoi(head_dim.substr(2));
  problem.element = element == "bf16" ? MJ_BF16 : element == "f16" ? MJ_F16 : MJ_F32;
  for (size_t i = 0; i < bound->program.function.tensors().size(); ++i)
    problem.tensors.emplace_back();
  EmitRequest request;
  request.llvm_before = stage == "llvm-before";
  request.llvm = stage == "llvm";
  request.assembly = stage == "asm";
  EmitResult emitted;
  const auto compiled =
      compile(bound->program, bound->tiles, *select_template(bound->program, problem, *target).spec,
              *target, request, &emitted);
  ASSERT_TRUE(std::holds_alternative<CodeArtifact>(compiled));
  const std::string output = emitted.llvm_before + emitted.llvm + emitted.assembly;
  ASSERT_FALSE(output.empty()) << "unknown stage " << stage;

  llvm::FileCheckRequest check;
  check.CheckPrefixes = {"CHECK"};
  check.CommentPrefixes = {"COM"};
  llvm::FileCheck file_check(check);
  llvm::SourceMgr manager;
  manager.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBuffer(text, "directives"), llvm::SMLoc());
  ASSERT_FALSE(file_check.readCheckFile(manager, text));
  manager.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBuffer(output, "output"), llvm::SMLoc());
  EXPECT_TRUE(file_check.checkInput(manager, output));
}

INSTANTIATE_TEST_SUITE_P(Files, FileTest, testing::ValuesIn(files()),
                         [](const auto& info) { return info.param.stem().string(); });

}  // namespace
}  // namespace maskjit::codegen
