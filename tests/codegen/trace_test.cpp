// The trace in ARCHITECTURE.md is what the stages give today.
#include <fstream>
#include <sstream>

#include "codegen/compile.h"
#include "masker_dsl/driver/driver.h"
#include "masker_dsl/ir/text.h"

namespace maskjit::codegen {
namespace {

// Stage -> text of the block that follows "<!-- trace: stage -->".
std::map<std::string, std::string> trace_blocks() {
  std::ifstream in(MASKJIT_SOURCE_DIR "/ARCHITECTURE.md");
  std::map<std::string, std::string> blocks;
  std::string line;
  while (std::getline(in, line)) {
    const std::string mark = "<!-- trace: ";
    if (line.compare(0, mark.size(), mark) != 0) continue;
    const std::string stage = line.substr(mark.size(), line.find(" -->") - mark.size());
    std::getline(in, line);
    while (std::getline(in, line) && line != "```") blocks[stage] += line + "\n";
  }
  return blocks;
}

TEST(Trace, CausalThroughEveryStage) {
  const std::map<std::string, std::string> blocks = trace_blocks();
  ASSERT_EQ(blocks.size(), 6u);
  const std::string& source = blocks.at("source");
  EXPECT_EQ(driver::emit_ast(source), blocks.at("ast"));
  driver::CheckedSource checked = driver::check("causal.masker", source);
  ASSERT_TRUE(checked.program);
  diag::DiagnosticEmitter diagnostics;
  const auto bound = driver::bind(*checked.program, {}, diagnostics);
  ASSERT_TRUE(bound);
  ir::PrintOptions comments;
  comments.comments = true;
  EXPECT_EQ(ir::print(bound->program.function, comments), blocks.at("ir"));
  EXPECT_EQ(ir::print(bound->tiles.tile) + ir::print(bound->tiles.ranges), blocks.at("tiles"));

  ProblemSpec problem;
  problem.head_dim = problem.head_dim_v = 64;
  const Target target{HostLevel::Avx512};
  EmitRequest request;
  request.llvm_before = request.llvm = true;
  EmitResult emitted;
  const auto artifact =
      compile(bound->program, bound->tiles, *select_template(bound->program, problem, target).spec,
              target, request, &emitted);
  ASSERT_TRUE(std::holds_alternative<CodeArtifact>(artifact));
  EXPECT_LT(std::get<CodeArtifact>(artifact).object.size(), 24u << 10);
  for (const auto& [stage, text] : {std::pair{"llvm-before contains", &emitted.llvm_before},
                                    std::pair{"llvm contains", &emitted.llvm}}) {
    std::istringstream lines(blocks.at(stage));
    std::string line;
    while (std::getline(lines, line))
      EXPECT_NE(text->find(line), std::string::npos) << stage << ": " << line;
  }
}

}  // namespace
}  // namespace maskjit::codegen
