#include "codegen/compile.h"

#include <llvm/Config/llvm-config.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Target/TargetMachine.h>

#include <chrono>

#include "codegen/backend/backend.h"
#include "codegen/instantiate/instantiate.h"
#include "codegen/optimize/optimize.h"
#include "codegen/spec/version.h"
#include "codegen/start_llvm.h"

namespace maskjit::codegen {
namespace {

class Stopwatch {
 public:
  // Milliseconds since the last lap.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double elapsed = std::chrono::duration<double, std::milli>(now - last_).count();
    last_ = now;
    return elapsed;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

std::string text_of(const llvm::Module& module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, nullptr);
  return text;
}

}  // namespace

std::variant<CodeArtifact, CompileError> compile(const ir::Program& program,
                                                 const analysis::TileFunctions& tiles,
                                                 const KernelSpec& spec, const Target& target,
                                                 const EmitRequest& emit, EmitResult* emitted) {
  start_llvm();
  Stopwatch watch;
  CodeArtifact artifact;
  artifact.target = target.print();
  artifact.template_name = spec.template_name;
  artifact.spec = spec.print();
  llvm::LLVMContext context;
  // Names of values are only there to be read.
  context.setDiscardValueNames(!emit.llvm_before && !emit.llvm);
  std::unique_ptr<llvm::TargetMachine> machine = create_target_machine(target, spec.opt_level);
  std::unique_ptr<llvm::Module> module = link_template(spec, context);
  module->setTargetTriple(machine->getTargetTriple());
  module->setDataLayout(machine->createDataLayout());
  artifact.times.emplace_back("link", watch.lap());
  specialise(program, tiles, spec, target, *module);
  artifact.times.emplace_back("lower", watch.lap());
#ifndef NDEBUG
  std::string problems;
  llvm::raw_string_ostream problem_stream(problems);
  if (llvm::verifyModule(*module, &problem_stream)) {
    return CompileError{
        "internal error: stage lower made a module that LLVM's verifier rejects; key " +
        spec_key(program, spec, target).hex() + ", " + spec.print() + ", target " + target.print() +
        "; `maskjit compile --emit=llvm-before` shows it\n" + problem_stream.str()};
  }
#endif
  if (emitted != nullptr && emit.llvm_before) emitted->llvm_before = text_of(*module);
  watch.lap();
  optimize(*module, *machine, spec.opt_level, emit.pass_limit);
  artifact.times.emplace_back("optimise", watch.lap());
  if (emitted != nullptr && emit.llvm) emitted->llvm = text_of(*module);
  if (emitted != nullptr && emit.assembly) {
    emitted->assembly = emit_assembly(*module, *machine);
    // Emitting changes the module: the object comes from a second compile.
    std::variant<CodeArtifact, CompileError> again = compile(program, tiles, spec, target);
    return again;
  }
  watch.lap();
  artifact.object =
      target.is_host() ? emit_object(*module, *machine) : emit_assembly(*module, *machine);
  artifact.times.emplace_back("codegen", watch.lap());
  return artifact;
}

std::string llvm_version() { return LLVM_VERSION_STRING; }
std::string build_id() { return build_id_text(); }

}  // namespace maskjit::codegen
