// Loads objects into the process: one execution session, one dylib a kernel, removed with the
// kernel.
#include <llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h>
#include <llvm/ExecutionEngine/Orc/AbsoluteSymbols.h>
#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/Shared/ExecutorSymbolDef.h>
#include <llvm/Support/MemoryBuffer.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <mutex>
#include <optional>

#include "codegen/backend/backend.h"
#include "codegen/target/target.h"
#include "kernels_templates/include/microkernel_table.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::codegen {
namespace {

namespace orc = llvm::orc;

// Objects link against nothing but the microkernels of their target and these: what LLVM calls for
// memory, and for operations that the oldest targets have no instruction for.
orc::SymbolMap runtime_functions(orc::ExecutionSession& session) {
  orc::SymbolMap map;
  const auto add = [&](const char* name, auto* function) {
    map[session.intern(name)] = orc::ExecutorSymbolDef(orc::ExecutorAddr::fromPtr(function),
                                                       llvm::JITSymbolFlags::Exported);
  };
  add("memcpy", static_cast<void* (*)(void*, const void*, size_t)>(std::memcpy));
  add("memmove", static_cast<void* (*)(void*, const void*, size_t)>(std::memmove));
  add("memset", static_cast<void* (*)(void*, int, size_t)>(std::memset));
  add("fmaf", static_cast<float (*)(float, float, float)>(::fmaf));
  add("floor", static_cast<double (*)(double)>(::floor));
  add("floorf", static_cast<float (*)(float)>(::floorf));
  return map;
}

templates::MicrokernelIsa isa_of(HostLevel level) {
  switch (level) {
    case HostLevel::Baseline:
      return templates::MicrokernelIsa::Baseline;
    case HostLevel::Avx2:
      return templates::MicrokernelIsa::Avx2;
    case HostLevel::Avx512:
      return templates::MicrokernelIsa::Avx512;
    case HostLevel::Avx512Bf16:
      return templates::MicrokernelIsa::Avx512Bf16;
    case HostLevel::AmxBf16:
      return templates::MicrokernelIsa::AmxBf16;
  }
  return templates::MicrokernelIsa::Baseline;
}

struct Session {
  Session() {
    auto control = orc::SelfExecutorProcessControl::Create();
    MASKJIT_CHECK(!!control,
                  "cannot create the JIT session: " + llvm::toString(control.takeError()));
    session = std::make_unique<orc::ExecutionSession>(std::move(*control));
    // Nothing is to be printed: the reasons go into the error that load() returns.
    session->setErrorReporter([this](llvm::Error error) {
      const std::lock_guard<std::mutex> lock(mutex);
      reasons += llvm::toString(std::move(error)) + "; ";
    });
    layer = std::make_unique<orc::ObjectLinkingLayer>(*session);
    support = &session->createBareJITDylib("support");
    llvm::cantFail(support->define(orc::absoluteSymbols(runtime_functions(*session))));
  }
  ~Session() {
    layer.reset();
    llvm::consumeError(session->endSession());
  }
  // The microkernels of one level, defined on its first use.
  orc::JITDylib& microkernels(HostLevel level) {
    const std::lock_guard<std::mutex> lock(mutex);
    orc::JITDylib*& dylib = levels[static_cast<size_t>(level)];
    if (dylib == nullptr) {
      dylib = &session->createBareJITDylib("microkernels" + Target{level}.print());
      orc::SymbolMap map;
      for (const MjMicrokernel& kernel : templates::microkernels(isa_of(level))) {
        map[session->intern(kernel.name)] = orc::ExecutorSymbolDef(
            orc::ExecutorAddr::fromPtr(kernel.address), llvm::JITSymbolFlags::Exported);
      }
      llvm::cantFail(dylib->define(orc::absoluteSymbols(std::move(map))));
    }
    return *dylib;
  }

  std::unique_ptr<orc::ExecutionSession> session;
  std::unique_ptr<orc::ObjectLinkingLayer> layer;
  orc::JITDylib* support = nullptr;
  std::array<orc::JITDylib*, static_cast<size_t>(HostLevel::AmxBf16) + 1> levels = {};
  std::atomic<uint64_t> kernels{0};

  std::string take_reasons() {
    const std::lock_guard<std::mutex> lock(mutex);
    return std::exchange(reasons, {});
  }
  std::mutex mutex;
  std::string reasons;
};

// Kernels keep the session alive, so that order of destruction at exit does not matter.
std::shared_ptr<Session> shared_session() {
  static std::shared_ptr<Session> session = std::make_shared<Session>();
  return session;
}

class OrcKernel final : public LoadedKernel {
 public:
  OrcKernel(std::shared_ptr<Session> session, orc::JITDylib& dylib)
      : session_(std::move(session)), dylib_(&dylib) {}
  ~OrcKernel() override { llvm::consumeError(session_->session->removeJITDylib(*dylib_)); }

 private:
  std::shared_ptr<Session> session_;
  orc::JITDylibSP dylib_;
};

CompileError load_error(Session& session, const std::string& what, llvm::Error error) {
  return {"loading a kernel: " + what + ": " + session.take_reasons() +
          llvm::toString(std::move(error))};
}

}  // namespace

std::variant<std::unique_ptr<LoadedKernel>, CompileError> load(const CodeArtifact& artifact) {
  const auto start = std::chrono::steady_clock::now();
  const std::optional<Target> target = Target::parse(artifact.target);
  if (!target)
    return CompileError{"loading a kernel: its target \"" + artifact.target + "\" is unknown"};
  std::shared_ptr<Session> session = shared_session();
  const std::string name = "kernel" + std::to_string(session->kernels++);
  orc::JITDylib& dylib = session->session->createBareJITDylib(name);
  auto kernel = std::make_unique<OrcKernel>(session, dylib);
  dylib.addToLinkOrder(*session->support);
  dylib.addToLinkOrder(session->microkernels(target->level));
  if (llvm::Error error =
          session->layer->add(dylib, llvm::MemoryBuffer::getMemBufferCopy(artifact.object, name))) {
    return load_error(*session, "the object", std::move(error));
  }
  const auto entry = [&](const char* symbol) {
    return session->session->lookup({&dylib}, session->session->intern(symbol));
  };
  auto plan = entry("mj_plan");
  if (!plan) return load_error(*session, "mj_plan", plan.takeError());
  auto run = entry("mj_run");
  if (!run) return load_error(*session, "mj_run", run.takeError());
  kernel->plan = plan->getAddress().toPtr<MjPlanFunction>();
  kernel->run = run->getAddress().toPtr<MjRunFunction>();
  kernel->load_milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return std::unique_ptr<LoadedKernel>(std::move(kernel));
}

}  // namespace maskjit::codegen
