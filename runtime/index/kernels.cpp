#include "runtime/index/kernels.h"

#include "kernels_templates/include/microkernel_table.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::index {
namespace {

templates::MicrokernelIsa isa_of(codegen::HostLevel level) {
  switch (level) {
    case codegen::HostLevel::Baseline:
      return templates::MicrokernelIsa::Baseline;
    case codegen::HostLevel::Avx2:
      return templates::MicrokernelIsa::Avx2;
    case codegen::HostLevel::Avx512:
      return templates::MicrokernelIsa::Avx512;
    case codegen::HostLevel::Avx512Bf16:
      return templates::MicrokernelIsa::Avx512Bf16;
    case codegen::HostLevel::AmxBf16:
      return templates::MicrokernelIsa::AmxBf16;
  }
  return templates::MicrokernelIsa::Baseline;
}

template <typename Function>
void find(std::span<const MjMicrokernel> table, std::string_view name, Function& function) {
  for (const MjMicrokernel& kernel : table) {
    if (name != kernel.name) continue;
    function = reinterpret_cast<Function>(const_cast<void*>(kernel.address));
    return;
  }
  MASKJIT_CHECK(false, fmt::format("there is no microkernel {}", name));
}

}  // namespace

IndexKernels kernels_of(codegen::HostLevel level) {
  const auto table = templates::microkernels(isa_of(level));
  IndexKernels kernels = {};
  find(table, "mj_index_scratch", kernels.index_scratch);
  find(table, "mj_index_keys", kernels.index_keys);
  find(table, "mj_nearest", kernels.nearest);
  find(table, "mj_scorer_scratch", kernels.scorer_scratch);
  find(table, "mj_scorer_prepare", kernels.prepare);
  find(table, "mj_scorer_scores", kernels.scores);
  find(table, "mj_page_scores", kernels.page_scores);
  find(table, "mj_lsh_weight", kernels.lsh_weight);
  return kernels;
}

}  // namespace maskjit::index
