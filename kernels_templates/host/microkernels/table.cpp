#include "kernels_templates/include/microkernel_table.h"

extern "C" {
extern const MjMicrokernel mj_entries_baseline[], mj_entries_avx2[], mj_entries_avx512[],
    mj_entries_avx512_bf16[], mj_entries_amx_bf16[];
}

namespace maskjit::templates {

std::span<const MjMicrokernel> microkernels(MicrokernelIsa isa) {
  const MjMicrokernel* first = nullptr;
  switch (isa) {
    case MicrokernelIsa::Baseline:
      first = mj_entries_baseline;
      break;
    case MicrokernelIsa::Avx2:
      first = mj_entries_avx2;
      break;
    case MicrokernelIsa::Avx512:
      first = mj_entries_avx512;
      break;
    case MicrokernelIsa::Avx512Bf16:
      first = mj_entries_avx512_bf16;
      break;
    case MicrokernelIsa::AmxBf16:
      first = mj_entries_amx_bf16;
      break;
  }
  const MjMicrokernel* last = first;
  while (last->name != nullptr) ++last;
  return {first, last};
}

}  // namespace maskjit::templates
