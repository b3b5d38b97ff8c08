// alu.inc for x86-64-v3.
#include "runtime/device/emulator/alu.h"
#include "runtime/device/emulator/alu_level.h"
#include "runtime/device/emulator/numbers.h"

namespace maskjit::emulator::v3 {
namespace {
#include "alu.inc"
}  // namespace

extern const AluLevel kLevel = {find_handler, find_fast_convert, multiply};

}  // namespace maskjit::emulator::v3
