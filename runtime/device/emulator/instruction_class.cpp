#include "runtime/device/emulator/instruction_class.h"

namespace maskjit::emulator {
namespace {

std::string_view class_of_alu(const Instruction& in) {
  switch (in.op) {
    case AluOp::Mov:
    case AluOp::Select:
    case AluOp::SelectBySign:
    case AluOp::Pack:
    case AluOp::Unpack:
    case AluOp::IsSpace:
      return "move";
    case AluOp::SetPredicate:
    case AluOp::Set:
    case AluOp::TestProperty:
      return "compare";
    case AluOp::Convert:
    case AluOp::ConvertPacked:
      return "convert";
    case AluOp::Sqrt:
    case AluOp::Rsqrt:
    case AluOp::Rcp:
    case AluOp::Ex2:
    case AluOp::Lg2:
    case AluOp::Sin:
    case AluOp::Cos:
    case AluOp::Tanh:
      return "special";
    default:
      return is_float(in.type) ? (in.op == AluOp::Div ? "special" : "float") : "integer";
  }
}

}  // namespace

bool reads_access(Kind kind) {
  switch (kind) {
    case Kind::Load:
    case Kind::Store:
    case Kind::Atomic:
    case Kind::Reduce:
    case Kind::LoadMatrix:
    case Kind::StoreMatrix:
    case Kind::CopyAsync:
      return true;
    default:
      return false;
  }
}

std::string_view class_of(const Instruction& in, const MemoryAccess* access) {
  switch (in.kind) {
    case Kind::Alu:
      return class_of_alu(in);
    case Kind::Jump:
    case Kind::JumpTable:
    case Kind::Call:
    case Kind::Return:
    case Kind::Exit:
    case Kind::Trap:
      return "control";
    case Kind::Load:
    case Kind::Store:
    case Kind::Atomic:
    case Kind::Reduce:
      switch (access == nullptr ? Space::Generic : access->space) {
        case Space::Global:
          return "global";
        case Space::Shared:
          return "shared";
        case Space::Local:
          return "local";
        case Space::Param:
          return "param";
        case Space::Const:
          return "const";
        case Space::Generic:
          return "generic";
      }
      return "generic";
    case Kind::LoadMatrix:
    case Kind::StoreMatrix:
      return "matrix memory";
    case Kind::CopyAsync:
    case Kind::CopyCommit:
    case Kind::CopyWait:
    case Kind::CopyArrive:
      return "async";
    case Kind::BarrierInit:
    case Kind::BarrierInvalidate:
    case Kind::BarrierArrive:
    case Kind::BarrierExpect:
    case Kind::BarrierTest:
    case Kind::BarrierPending:
    case Kind::Barrier:
      return "barrier";
    case Kind::MultiplyMatrix:
      return "matrix";
    case Kind::WarpBarrier:
    case Kind::Shuffle:
    case Kind::Vote:
    case Kind::Match:
    case Kind::ActiveMask:
    case Kind::WarpReduce:
    case Kind::Elect:
    case Kind::MoveMatrix:
      return "warp";
    case Kind::Prefetch:
    case Kind::Fence:
    case Kind::Sleep:
    case Kind::Clock:
    case Kind::Nothing:
      return "other";
  }
  return "other";
}

}  // namespace maskjit::emulator
