#pragma once
// The microkernels (host/microkernels) that the library carries as object code, by instruction set.
#include <span>

extern "C" {
struct MjMicrokernel {
  const char* name;
  const void* address;
};
}

namespace maskjit::templates {

enum class MicrokernelIsa { Baseline, Avx2, Avx512, Avx512Bf16, AmxBf16 };

std::span<const MjMicrokernel> microkernels(MicrokernelIsa isa);

}  // namespace maskjit::templates
