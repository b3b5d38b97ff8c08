#include "runtime/device/emulator/layout.h"

#include <algorithm>

namespace maskjit::emulator {

KernelLayout lay_out(const Program& program, uint32_t kernel) {
  KernelLayout layout;
  std::vector<uint32_t> shared;
  std::vector<uint32_t> pending = {kernel};
  while (!pending.empty()) {
    const uint32_t index = pending.back();
    pending.pop_back();
    if (!layout.part_of.try_emplace(index, layout.functions.size()).second) continue;
    const Function& function = program.functions[index];
    layout.functions.push_back({index, layout.register_bytes, layout.local_bytes, layout.counters});
    layout.register_bytes += function.register_bytes;
    layout.local_bytes += function.frame_bytes;
    layout.counters += function.code.size();
    layout.shared_granule = std::min(layout.shared_granule, function.shared_granule);
    shared.insert(shared.end(), function.shared.begin(), function.shared.end());
    pending.insert(pending.end(), function.callees.rbegin(), function.callees.rend());
  }
  std::sort(shared.begin(), shared.end());
  shared.erase(std::unique(shared.begin(), shared.end()), shared.end());
  uint64_t end = 0, dynamic_alignment = 16;
  for (const uint32_t index : shared) {
    const Variable& variable = program.variables[index];
    if (variable.is_dynamic) {
      dynamic_alignment = std::max<uint64_t>(dynamic_alignment, variable.alignment);
      continue;
    }
    end = (end + variable.alignment - 1) / variable.alignment * variable.alignment;
    layout.shared[index] = end;
    end += variable.bytes;
  }
  end = (end + dynamic_alignment - 1) / dynamic_alignment * dynamic_alignment;
  for (const uint32_t index : shared) {
    if (program.variables[index].is_dynamic) layout.shared[index] = end;
  }
  layout.static_shared_bytes = end;
  return layout;
}

}  // namespace maskjit::emulator
