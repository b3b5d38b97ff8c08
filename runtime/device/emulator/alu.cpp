#include "runtime/device/emulator/alu.h"

#include "runtime/device/emulator/alu_level.h"

namespace maskjit::emulator {
namespace {

// The best first compilation that this CPU runs, found once.
int best_level() {
  if (__builtin_cpu_supports("x86-64-v4")) return 2;
  if (__builtin_cpu_supports("x86-64-v3")) return 1;
  return 0;
}

const AluLevel& level(int index) {
  return index == 2 ? v4::kLevel : index == 1 ? v3::kLevel : baseline::kLevel;
}

const AluLevel& best() {
  static const AluLevel& kBest = level(best_level());
  return kBest;
}

AluFunction find(const AluLevel& alu, const Instruction& in) {
  if (in.op == AluOp::Convert) {
    if (const AluFunction fast = alu.find_convert(in)) return fast;
  }
  return alu.find(in.op, in.type, in.source_type, in.modes);
}

}  // namespace

AluFunction find_alu(const Instruction& instruction) { return find(best(), instruction); }

MultiplyFunction matrix_multiply() { return best().multiply; }

MultiplyFunction matrix_multiply_at(int index) { return level(index).multiply; }

int alu_levels() { return best_level() + 1; }

AluFunction find_alu_at(int index, const Instruction& instruction) {
  return find(level(index), instruction);
}

}  // namespace maskjit::emulator
