#include <gtest/gtest.h>

#include "codegen/compile.h"
#include "tests/conformance/executor.h"

namespace maskjit::conformance {
namespace {

class JitExecutor final : public Executor {
 public:
  JitExecutor(const std::string& target, int opt_level, std::string template_name)
      : target_(*codegen::Target::parse(target)),
        opt_level_(opt_level),
        only_(std::move(template_name)) {}

  std::string name() const override {
    std::string name = fmt::format("jit_O{}_{}", opt_level_, target_.print());
    if (!only_.empty()) name += "_" + only_.substr(only_.rfind('_') + 1);
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '+' || c == '-' || c == '/'; }, '_');
    return name;
  }

  // Templates asked for by name support every problem of the suite but sequences. At -O3 the
  // forward template is what is selected unless rows are few.
  bool considers(const ProblemDescription& d) const override {
    if (only_.empty()) return true;
    const bool is_short = d.q_len * (d.num_heads / d.num_kv_heads) <= 16;
    return !d.sequence && (is_short || opt_level_ == 0 || !only_.ends_with("forward"));
  }
  std::string unavailable() const override {
    return codegen::Target::executable(target_) ? "" : "this CPU cannot execute " + target_.print();
  }

  Results run(const Problem& problem, int threads) const override {
    codegen::KernelSpec spec = *select(problem).spec;
    spec.opt_level = opt_level_;
    const auto compiled = codegen::compile(problem.program(), problem.tiles(), spec, target_);
    if (const auto* error = std::get_if<codegen::CompileError>(&compiled)) {
      ADD_FAILURE() << error->message;
      return {};
    }
    auto loaded = codegen::load(std::get<codegen::CodeArtifact>(compiled));
    if (const auto* error = std::get_if<codegen::CompileError>(&loaded)) {
      ADD_FAILURE() << error->message;
      return {};
    }
    const auto& kernel = std::get<0>(loaded);
    return problem.launch(kernel->plan, kernel->run, threads);
  }

 private:
  codegen::Selection select(const Problem& problem) const {
    return codegen::select_template(problem.program(), problem.spec(), target_, only_);
  }

  codegen::Target target_;
  int opt_level_;
  std::string only_;
};

}  // namespace

std::unique_ptr<Executor> jit_executor(const std::string& target, int opt_level,
                                       const std::string& template_name) {
  return std::make_unique<JitExecutor>(target, opt_level, template_name);
}

}  // namespace maskjit::conformance
