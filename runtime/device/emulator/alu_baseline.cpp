// alu.inc for any x86-64.
#include "runtime/device/emulator/alu.h"
#include "runtime/device/emulator/alu_level.h"
#include "runtime/device/emulator/numbers.h"

namespace maskjit::emulator::baseline {
namespace {
#include "alu.inc"
}  // namespace

extern const AluLevel kLevel = {find_handler, find_fast_convert, multiply};

}  // namespace maskjit::emulator::baseline
