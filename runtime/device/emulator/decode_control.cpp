// Jumps, calls, barriers of a CTA, fences, and what only waits or hints.
#include <fmt/format.h>

#include "runtime/device/emulator/decoder.h"

namespace maskjit::emulator {
namespace {

using Type = ScalarType;
using OperandKind = syntax::Operand::Kind;

void branch(Decoder& d) {
  d.flag("uni");
  d.expect_operands(1, 1);
  Instruction instruction = d.make(Kind::Jump, 0, {});
  d.jump_to(instruction, d.operand(0));
  d.emit(instruction);
}

void indexed_branch(Decoder& d) {
  d.expect_flag("idx");
  d.flag("uni");
  d.expect_operands(2, 2);
  Instruction instruction = d.make(Kind::JumpTable, 0, {d.source(0, Type::U32)});
  if (!d.failed()) d.jump_table(instruction, d.operand(1));
  d.emit(instruction);
}

// call{.uni} [(results),] name [, (arguments)]
void call(Decoder& d) {
  d.flag("uni");
  d.expect_operands(1, 3);
  size_t at = 0;
  std::vector<syntax::Operand> results, arguments;
  if (d.operand(0).kind == OperandKind::Group) results = d.operand(at++).items;
  const syntax::Operand& callee = d.operand(at++);
  if (at < d.operand_count()) {
    if (d.operand(at).kind != OperandKind::Group) return d.fail("arguments stand in parentheses");
    arguments = d.operand(at++).items;
  }
  if (at != d.operand_count()) return d.fail("indirect calls are not supported");
  const auto found = callee.kind == OperandKind::Name ? d.names().functions.find(callee.name)
                                                      : d.names().functions.end();
  if (found == d.names().functions.end())
    return d.fail(fmt::format("unknown function {}", callee.name));
  const syntax::Function& tree = d.names().syntax->functions[found->second];
  if (tree.is_entry || !tree.has_body)
    return d.fail(fmt::format("{} cannot be called: it {}", tree.name,
                              tree.is_entry ? "is a kernel" : "has no body"));
  if (tree.params.size() != arguments.size() || tree.results.size() != results.size())
    return d.fail(fmt::format("{} has {} parameters and {} results", tree.name, tree.params.size(),
                              tree.results.size()));
  Function::CallSite site;
  site.callee = found->second;
  const auto passed = [&](const std::vector<syntax::Operand>& operands,
                          const std::vector<syntax::Variable>& formals) {
    std::vector<uint32_t> variables;
    for (size_t i = 0; i < operands.size() && !d.failed(); ++i) {
      const uint32_t variable = d.frame_variable(operands[i]);
      if (d.failed()) break;
      const uint64_t bytes = formals[i].count * static_cast<uint64_t>(bytes_of(formals[i].type));
      if (d.function().variables[variable].bytes != bytes)
        d.fail(fmt::format("{} has {} bytes, not {}", formals[i].name, bytes,
                           d.function().variables[variable].bytes));
      variables.push_back(variable);
    }
    return variables;
  };
  site.arguments = passed(arguments, tree.params);
  site.results = passed(results, tree.results);
  if (d.failed()) return;
  Instruction instruction = d.make(Kind::Call, 0, {});
  instruction.target = found->second;
  instruction.detail = static_cast<uint32_t>(d.function().calls.size());
  d.function().calls.push_back(std::move(site));
  d.function().callees.push_back(found->second);
  d.emit(instruction);
}

void plain(Decoder& d, Kind kind) {
  d.expect_operands(0, 0);
  d.emit(d.make(kind, 0, {}));
}

void finish(Decoder& d) {
  if (d.base() == "ret") d.flag("uni");
  plain(d, d.base() == "ret" ? Kind::Return : d.base() == "exit" ? Kind::Exit : Kind::Trap);
}

// bar, barrier. operands: [result,] number, threads or none, [predicate]
void barrier(Decoder& d) {
  if (d.base() == "bar" && d.flag("warp")) {
    d.expect_flag("sync");
    d.expect_operands(1, 1);
    return d.emit(d.make(Kind::WarpBarrier, 0, {d.source(0, Type::B32)}));
  }
  if (d.flag("cluster")) return d.fail("clusters are not supported");
  d.flag("cta");
  const int op = d.choice({"sync", "arrive", "red"});
  const bool aligned = d.base() == "bar" || d.flag("aligned");
  if (d.flag("all")) d.expect_operands(1, 1);
  Instruction instruction;
  BarrierOp kind = op == 0 ? BarrierOp::Sync : BarrierOp::Arrive;
  if (op == 2) {
    constexpr BarrierOp kOps[] = {BarrierOp::And, BarrierOp::Or, BarrierOp::Popc};
    kind = kOps[d.choice({"and", "or", "popc"})];
    const Type type = kind == BarrierOp::Popc ? Type::U32 : Type::Pred;
    if (d.type() != type) return d.fail("bar.red gives .pred for .and and .or, .u32 for .popc");
    d.expect_operands(3, 4);
    const bool counted = d.operand_count() == 4;
    bool negated = false;
    const uint32_t predicate = d.predicate(counted ? 3 : 2, &negated);
    instruction = d.make(Kind::Barrier, 1,
                         {d.destination(0, type), d.source(1, Type::U32),
                          counted ? d.source(2, Type::U32) : kNone, predicate});
    instruction.modes.negate_combined = negated;
  } else {
    d.expect_operands(op == 0 ? 1 : 2, 2);
    instruction =
        d.make(Kind::Barrier, 0,
               {d.source(0, Type::U32), d.operand_count() == 2 ? d.source(1, Type::U32) : kNone});
  }
  // Bit 8: all lanes of a warp together.
  instruction.immediate = static_cast<uint32_t>(kind) | (aligned ? 256u : 0u);
  d.emit(instruction);
}

void fence(Decoder& d) {
  if (d.base() == "membar") {
    if (d.flag("proxy")) {
      d.choice({"alias", "async", "async.global"});
    } else {
      d.choice({"cta", "gl", "sys"});
    }
    return plain(d, Kind::Fence);
  }
  if (d.flag("proxy")) {
    d.choice({"alias", "async", "tensormap::generic"});
    d.choice({"global", "shared::cta", "shared::cluster", "shared"}, 4);
    return plain(d, Kind::Fence);
  }
  if (d.flag("mbarrier_init")) {
    d.expect_flag("release");
    d.expect_flag("cluster");
    return plain(d, Kind::Fence);
  }
  d.choice({"sc", "acq_rel", "acquire", "release"}, 1);
  d.choice({"cta", "cluster", "gpu", "sys"});
  plain(d, Kind::Fence);
}

void sleep(Decoder& d) {
  if (d.type() != Type::U32) return d.fail("nanosleep takes .u32");
  d.expect_operands(1, 1);
  d.emit(d.make(Kind::Sleep, 0, {d.source(0, Type::U32)}));
}

void dependent_grid(Decoder& d) {
  d.choice({"launch_dependents", "wait"});
  plain(d, Kind::Nothing);
}

void set_max_registers(Decoder& d) {
  d.choice({"inc", "dec"});
  d.expect_flag("sync");
  d.expect_flag("aligned");
  if (d.type() != Type::U32) return d.fail("setmaxnreg takes .u32");
  d.expect_operands(1, 1);
  const uint64_t count = d.immediate(0, 256);
  if (count < 24 || count % 8 != 0)
    return d.fail("setmaxnreg takes a multiple of 8 from 24 to 256");
  d.emit(d.make(Kind::Nothing, 0, {}));
}

}  // namespace

DecodeFunction find_control(std::string_view opcode) {
  if (opcode == "bra") return branch;
  if (opcode == "brx") return indexed_branch;
  if (opcode == "call") return call;
  if (opcode == "ret" || opcode == "exit" || opcode == "trap" || opcode == "brkpt") return finish;
  if (opcode == "bar" || opcode == "barrier") return barrier;
  if (opcode == "membar" || opcode == "fence") return fence;
  if (opcode == "nanosleep") return sleep;
  if (opcode == "griddepcontrol") return dependent_grid;
  if (opcode == "setmaxnreg") return set_max_registers;
  return nullptr;
}

}  // namespace maskjit::emulator
