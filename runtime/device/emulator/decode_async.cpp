// cp.async and mbarrier. Bulk copies (TMA), wgmma and clusters belong here, too; they are refused.
#include <fmt/format.h>

#include "runtime/device/emulator/decoder.h"

namespace maskjit::emulator {
namespace {

using Type = ScalarType;

void shared_space(Decoder& d, MemoryAccess& access, bool required) {
  const int space = d.choice({"shared", "shared::cta"}, 2);
  if (space == 2 && required) d.fail(fmt::format("{} is for .shared", d.base()));
  access.space = space == 2 ? Space::Generic : Space::Shared;
}

void emit_access(Decoder& d, Instruction instruction, const MemoryAccess& access) {
  d.function().shared_granule = std::min<uint32_t>(d.function().shared_granule, 8);  // an mbarrier
  instruction.detail = static_cast<uint32_t>(d.function().accesses.size());
  d.function().accesses.push_back(access);
  d.emit(instruction);
}

void copy_arrive(Decoder& d) {
  MemoryAccess access;
  access.no_increment = d.flag("noinc");
  shared_space(d, access, false);
  access.element_bytes = 8;
  if (d.type() != Type::B64) return d.fail("an mbarrier is .b64");
  d.expect_operands(1, 1);
  Instruction instruction = d.make(Kind::CopyArrive, 0, {kNone});
  d.address(0, instruction, 0, access);
  emit_access(d, instruction, access);
}

// cp.async...
void copy(Decoder& d) {
  if (!d.flag("async")) return d.fail(fmt::format("unknown instruction {}", d.statement().name));
  if (d.flag("bulk"))
    return d.fail("bulk copies (TMA) are not supported; the emulator models sm_80 copies");
  if (d.flag("commit_group")) {
    d.expect_operands(0, 0);
    return d.emit(d.make(Kind::CopyCommit, 0, {}));
  }
  if (d.flag("wait_all")) {
    d.expect_operands(0, 0);
    Instruction instruction = d.make(Kind::CopyWait, 0, {});
    instruction.immediate = kNone;
    return d.emit(instruction);
  }
  if (d.flag("wait_group")) {
    d.expect_operands(1, 1);
    Instruction instruction = d.make(Kind::CopyWait, 0, {});
    instruction.immediate = static_cast<uint32_t>(d.immediate(0, 1 << 20));
    return d.emit(instruction);
  }
  if (d.flag("mbarrier")) {
    d.expect_flag("arrive");
    return copy_arrive(d);
  }
  const bool global_level = d.choice({"ca", "cg"}) == 1;
  MemoryAccess access;
  shared_space(d, access, true);
  d.expect_flag("global");
  const bool has_policy = d.flag("L2::cache_hint");
  d.choice({"L2::64B", "L2::128B", "L2::256B"}, 3);
  d.expect_operands(3, has_policy ? 5 : 4);
  const uint64_t bytes = d.immediate(2, 16);
  if (bytes != 16 && (global_level || (bytes != 4 && bytes != 8)))
    return d.fail(global_level ? "cp.async.cg copies 16 bytes"
                               : "cp.async.ca copies 4, 8 or 16 bytes");
  access.element_bytes = static_cast<uint8_t>(bytes);
  // Destination, source, [source size or predicate of ignoring the source]. They stay kNone if
  // absent.
  Instruction instruction = d.make(Kind::CopyAsync, 0, {kNone, kNone, kNone, kNone});
  d.address(0, instruction, 0, access);
  MemoryAccess from;
  from.space = Space::Global;
  from.element_bytes = access.element_bytes;
  d.address(1, instruction, 1, from);
  const size_t last = d.operand_count() - (has_policy ? 1 : 0);
  if (last > 4 || last < 3)
    return d.fail("cp.async takes at most a source size after the copy size");
  if (last == 4) {
    if (d.is_predicate(3)) {
      instruction.operands[3] = d.source(3, Type::Pred);
    } else {
      instruction.operands[2] = d.source(3, Type::U32);
    }
  }
  if (has_policy) d.source(last, Type::B64);
  if (d.failed()) return;
  // The source's access follows the destination's.
  d.function().accesses.push_back(access);
  d.function().accesses.push_back(from);
  instruction.detail = static_cast<uint32_t>(d.function().accesses.size() - 2);
  d.function().shared_granule =
      std::min<uint32_t>(d.function().shared_granule, access.element_bytes);
  d.emit(instruction);
}

void barrier_object(Decoder& d) {
  static const std::initializer_list<std::string_view> kOps = {
      "init",      "inval",     "arrive",   "arrive_drop",
      "expect_tx", "test_wait", "try_wait", "pending_count"};
  // ".arrive.expect_tx" is one operation.
  const int op = d.flag("arrive") ? 2 : d.choice(kOps);
  MemoryAccess access;
  access.element_bytes = 8;
  if (op == 7) {
    if (d.type() != Type::B64) return d.fail("an mbarrier is .b64");
    d.expect_operands(2, 2);
    return d.emit(
        d.make(Kind::BarrierPending, 1, {d.destination(0, Type::B32), d.source(1, Type::B64)}));
  }
  const bool with_transaction = op == 2 && d.flag("expect_tx");
  const bool no_complete = (op == 2 || op == 3) && d.flag("noComplete");
  const bool parity = (op == 5 || op == 6) && d.flag("parity");
  if (op >= 2) {
    d.choice({"release", "acquire", "relaxed"}, 3);
    d.choice({"cta", "cluster"}, 2);
  }
  if (d.flag("shared::cluster")) return d.fail("clusters are not supported");
  shared_space(d, access, false);
  if (d.type() != Type::B64) return d.fail("an mbarrier is .b64");
  Instruction instruction;
  switch (op) {
    case 0:
      d.expect_operands(2, 2);
      instruction = d.make(Kind::BarrierInit, 0, {kNone, d.source(1, Type::U32)});
      d.address(0, instruction, 0, access);
      break;
    case 1:
      d.expect_operands(1, 1);
      instruction = d.make(Kind::BarrierInvalidate, 0, {kNone});
      d.address(0, instruction, 0, access);
      break;
    case 2:
    case 3: {
      if (no_complete || with_transaction) d.expect_operands(3, 3);
      d.expect_operands(2, 3);
      const uint32_t count =
          d.operand_count() == 3 ? d.source(2, Type::U32) : d.constant(1, Type::U32);
      instruction = d.make(Kind::BarrierArrive, 1, {d.destination(0, Type::B64), kNone, count});
      d.address(1, instruction, 1, access);
      // Bit 0: the operand is a number of bytes and one arrival; bit 1: arrive_drop.
      instruction.immediate = (with_transaction ? 1u : 0u) | (op == 3 ? 2u : 0u);
      break;
    }
    case 4:
      d.expect_operands(2, 2);
      instruction = d.make(Kind::BarrierExpect, 0, {kNone, d.source(1, Type::U32)});
      d.address(0, instruction, 0, access);
      break;
    default: {
      d.expect_operands(3, op == 6 ? 4 : 3);
      const Type state = parity ? Type::U32 : Type::B64;
      instruction =
          d.make(Kind::BarrierTest, 1, {d.destination(0, Type::Pred), kNone, d.source(2, state)});
      d.address(1, instruction, 1, access);
      if (d.operand_count() == 4) d.source(3, Type::U32);
      instruction.immediate = (parity ? 1u : 0u) | (op == 6 ? 2u : 0u);
      break;
    }
  }
  emit_access(d, instruction, access);
}

void refused(Decoder& d) {
  d.fail(
      fmt::format("{} is not supported: the emulator models sm_80 without wgmma and tensor memory",
                  d.statement().name));
}

}  // namespace

DecodeFunction find_async(std::string_view opcode) {
  if (opcode == "cp") return copy;
  if (opcode == "mbarrier") return barrier_object;
  if (opcode == "wgmma" || opcode == "tcgen05" || opcode == "wmma" || opcode == "mapa" ||
      opcode == "multimem" || opcode == "clusterlaunchcontrol")
    return refused;
  return nullptr;
}

}  // namespace maskjit::emulator
