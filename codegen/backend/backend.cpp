#include "codegen/backend/backend.h"

#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/OptBisect.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Target/TargetOptions.h>

#include <mutex>

#include "codegen/instantiate/instantiate.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::codegen {
namespace {

void initialize_llvm() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
}

// Device kernels come optimised, unrolled into registers, and go to ptxas, which allocates
// registers and schedules for itself. These passes of LLVM's back-end are a third of its time, and
// without them ptxas's registers and spills are the same or fewer.
class DevicePasses final : public llvm::OptPassGate {
 public:
  bool isEnabled() const override { return true; }
  bool shouldRunPass(llvm::StringRef name, llvm::StringRef) const override {
    static constexpr llvm::StringLiteral kLeftOut[] = {
        "Canonicalize Freeze Instructions in Loops",
        "Loop Strength Reduction",
        "Speculatively execute instructions",
        "codegenprepare",
        "consthoist",
        "early-cse",
        "early-machinelicm",
        "expand-memcmp",
        "load-store-vectorizer",
        "machine-sink",
        "mergeicmps",
        "nary-reassociate",
        "partially-inline-libcalls",
        "peephole-opt",
        "separate-const-offset-from-gep",
        "slsr",
        "sroa",
    };
    return !llvm::is_contained(kLeftOut, name);
  }
};

// The loops of host kernels already step pointers: strength reduction costs a sixth of code
// generation and gains nothing.
class HostPasses final : public llvm::OptPassGate {
 public:
  bool isEnabled() const override { return true; }
  bool shouldRunPass(llvm::StringRef name, llvm::StringRef) const override {
    return name != "Loop Strength Reduction";
  }
};

std::string emit(llvm::Module& module, llvm::TargetMachine& machine, llvm::CodeGenFileType type) {
  static DevicePasses device_passes;
  static HostPasses host_passes;
  if (machine.getTargetTriple().isNVPTX()) {
    module.getContext().setOptPassGate(device_passes);
  } else {
    module.getContext().setOptPassGate(host_passes);
  }
  llvm::SmallString<0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  const bool failed =
      machine.addPassesToEmitFile(passes, stream, nullptr, type, /*DisableVerify=*/true);
  MASKJIT_CHECK(!failed, "the target cannot emit this kind of file");
  passes.run(module);
  return std::string(bytes.str());
}

}  // namespace

std::unique_ptr<llvm::TargetMachine> create_target_machine(const Target& target, int opt_level) {
  initialize_llvm();
  const llvm::Triple triple(target.is_host() ? "x86_64-pc-linux-gnu" : "nvptx64-nvidia-cuda");
  std::string error;
  const llvm::Target* llvm_target = llvm::TargetRegistry::lookupTarget(triple, error);
  MASKJIT_CHECK(llvm_target != nullptr, error);
  const TargetAttributes attributes = attributes_of(target);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  options.FunctionSections = false;
  return std::unique_ptr<llvm::TargetMachine>(llvm_target->createTargetMachine(
      triple, attributes.cpu, attributes.features, options, llvm::Reloc::PIC_,
      llvm::CodeModel::Small,
      opt_level == 0 ? llvm::CodeGenOptLevel::None : llvm::CodeGenOptLevel::Default, /*JIT=*/true));
}

std::string emit_object(llvm::Module& module, llvm::TargetMachine& machine) {
  return emit(module, machine, llvm::CodeGenFileType::ObjectFile);
}

std::string emit_assembly(llvm::Module& module, llvm::TargetMachine& machine) {
  return emit(module, machine, llvm::CodeGenFileType::AssemblyFile);
}

}  // namespace maskjit::codegen
