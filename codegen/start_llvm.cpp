#include "codegen/start_llvm.h"

#include <mutex>

// The bounds of the constructors that cmake/lazy_llvm.ld gathered; null without it.
extern "C" {
using MaskjitConstructor = void (*)(int, char**, char**);
[[gnu::weak, gnu::visibility("hidden")]] extern const MaskjitConstructor maskjit_llvm_init_begin[];
[[gnu::weak, gnu::visibility("hidden")]] extern const MaskjitConstructor maskjit_llvm_init_end[];
}

namespace maskjit::codegen {

void start_llvm() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const MaskjitConstructor* c = maskjit_llvm_init_begin; c != maskjit_llvm_init_end; ++c)
      (*c)(0, nullptr, nullptr);
  });
}

}  // namespace maskjit::codegen
