#include "runtime/device/emulator/report.h"

#include <fmt/format.h>

namespace maskjit::emulator {

const char* name_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::InvalidLaunch:
      return "invalid launch";
    case FaultKind::OutOfBounds:
      return "out of bounds";
    case FaultKind::Misaligned:
      return "misaligned access";
    case FaultKind::UninitialisedMemory:
      return "read of uninitialised memory";
    case FaultKind::UninitialisedRegister:
      return "read of an unwritten register";
    case FaultKind::ReadOnlyMemory:
      return "write to read-only memory";
    case FaultKind::StaleRead:
      return "read of stale data";
    case FaultKind::AsyncConflict:
      return "conflict with an asynchronous copy";
    case FaultKind::Race:
      return "race";
    case FaultKind::DivergentBarrier:
      return "divergent barrier";
    case FaultKind::Deadlock:
      return "deadlock";
    case FaultKind::InvalidMask:
      return "invalid mask of lanes";
    case FaultKind::InvalidOperand:
      return "invalid operand";
    case FaultKind::Trap:
      return "trap";
    case FaultKind::StepLimit:
      return "step limit";
  }
  return "fault";
}

std::string Fault::render() const {
  std::string text = fmt::format("{}: {}\n", name_of(kind), message);
  if (line != 0) {
    text += fmt::format("  kernel {}{}, ptx line {}: {}\n", kernel,
                        function == kernel ? std::string() : ", function " + function, line,
                        instruction);
    text += fmt::format("  CTA ({}, {}, {}), thread ({}, {}, {}), warp {}, lane {}", cta[0], cta[1],
                        cta[2], thread[0], thread[1], thread[2], warp, lane);
    if (address) text += fmt::format(", address {:#x}", *address);
    text += '\n';
  } else if (!kernel.empty()) {
    text += fmt::format("  kernel {}\n", kernel);
  }
  for (const std::string& note : notes) text += fmt::format("  note: {}\n", note);
  text.pop_back();
  return text;
}

GlobalTraffic& GlobalTraffic::operator+=(const GlobalTraffic& other) {
  requests += other.requests;
  sectors += other.sectors;
  useful_bytes += other.useful_bytes;
  lane_bytes += other.lane_bytes;
  return *this;
}

SharedTraffic& SharedTraffic::operator+=(const SharedTraffic& other) {
  requests += other.requests;
  wavefronts += other.wavefronts;
  conflicts += other.conflicts;
  return *this;
}

}  // namespace maskjit::emulator
