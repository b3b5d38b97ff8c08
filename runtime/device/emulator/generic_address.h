#pragma once
#include "runtime/device/emulator/program.h"

namespace maskjit::emulator {

// The address space that a generic address points into.
inline Space space_of(uint64_t address) {
  switch (address >> 56) {
    case kSharedWindow >> 56:
      return Space::Shared;
    case kLocalWindow >> 56:
      return Space::Local;
    case kParamWindow >> 56:
      return Space::Param;
    default:
      return Space::Global;
  }
}

}  // namespace maskjit::emulator
