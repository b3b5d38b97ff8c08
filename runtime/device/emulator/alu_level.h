#pragma once
// What each compilation of alu.inc provides; private to alu*.cpp.
#include "runtime/device/emulator/alu.h"

namespace maskjit::emulator {

struct AluLevel {
  AluFunction (*find)(AluOp, ScalarType, ScalarType, const Modes&);
  AluFunction (*find_convert)(const Instruction&);
  MultiplyFunction multiply;
};

namespace baseline {
extern const AluLevel kLevel;
}
namespace v3 {
extern const AluLevel kLevel;
}
namespace v4 {
extern const AluLevel kLevel;
}

}  // namespace maskjit::emulator
