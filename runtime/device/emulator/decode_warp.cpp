// Instructions of a whole warp: shuffles, votes, reductions, matrix products.
#include <fmt/format.h>

#include "runtime/device/emulator/decoder.h"

namespace maskjit::emulator {
namespace {

using Type = ScalarType;
using OperandKind = syntax::Operand::Kind;

void expect_sync(Decoder& d) { d.expect_flag("sync"); }

// d[|p], a, b, c, mask
void shuffle(Decoder& d) {
  expect_sync(d);
  const int mode = d.choice({"up", "down", "bfly", "idx"});
  if (d.type() != Type::B32) return d.fail("shfl takes .b32");
  d.expect_operands(5, 5);
  uint32_t to = kNone, valid = kNone;
  const syntax::Operand& written = d.operand(0);
  if (written.kind == OperandKind::Pair) {
    to = d.destination(written.items[0], Type::B32);
    valid = d.destination(written.items[1], Type::Pred);
  } else {
    to = d.destination(written, Type::B32);
  }
  Instruction instruction = d.make(Kind::Shuffle, 2,
                                   {to, valid, d.source(1, Type::B32), d.source(2, Type::B32),
                                    d.source(3, Type::B32), d.source(4, Type::B32)});
  instruction.immediate = static_cast<uint32_t>(mode);
  d.emit(instruction);
}

void vote(Decoder& d) {
  expect_sync(d);
  const int mode = d.choice({"all", "any", "uni", "ballot"});
  const Type type = mode == 3 ? Type::B32 : Type::Pred;
  if (d.type() != type) return d.fail("vote gives .pred, and vote.ballot .b32");
  d.expect_operands(3, 3);
  bool negated = false;
  const uint32_t predicate = d.predicate(1, &negated);
  Instruction instruction =
      d.make(Kind::Vote, 1, {d.destination(0, type), predicate, d.source(2, Type::B32)});
  instruction.modes.negate_combined = negated;
  instruction.immediate = static_cast<uint32_t>(mode);
  d.emit(instruction);
}

void match(Decoder& d) {
  const bool all = d.choice({"any", "all"}) == 1;
  expect_sync(d);
  const Type type = d.type();
  if (type != Type::B32 && type != Type::B64) return d.fail("match takes .b32 or .b64");
  d.expect_operands(3, 3);
  uint32_t to = kNone, valid = kNone;
  const syntax::Operand& written = d.operand(0);
  if (written.kind == OperandKind::Pair && all) {
    to = d.destination(written.items[0], Type::B32);
    valid = d.destination(written.items[1], Type::Pred);
  } else {
    to = d.destination(written, Type::B32);
  }
  Instruction instruction =
      d.make(Kind::Match, 2, {to, valid, d.source(1, type), d.source(2, Type::B32)});
  instruction.type = type;
  instruction.immediate = all ? 1 : 0;
  d.emit(instruction);
}

void active_mask(Decoder& d) {
  if (d.type() != Type::B32) return d.fail("activemask gives .b32");
  d.expect_operands(1, 1);
  d.emit(d.make(Kind::ActiveMask, 1, {d.destination(0, Type::B32)}));
}

void warp_reduce(Decoder& d) {
  expect_sync(d);
  const int op = d.choice({"add", "min", "max", "and", "or", "xor"});
  const Type type = d.type();
  if (op >= 3 ? type != Type::B32 : type != Type::U32 && type != Type::S32)
    return d.fail(fmt::format("{} is not supported", d.statement().name));
  d.expect_operands(3, 3);
  Instruction instruction = d.make(
      Kind::WarpReduce, 1, {d.destination(0, type), d.source(1, type), d.source(2, Type::B32)});
  instruction.type = type;
  instruction.immediate = static_cast<uint32_t>(op);
  d.emit(instruction);
}

void elect(Decoder& d) {
  expect_sync(d);
  d.expect_operands(2, 2);
  const syntax::Operand& written = d.operand(0);
  if (written.kind != OperandKind::Pair) return d.fail("elect.sync writes d|p");
  d.emit(d.make(Kind::Elect, 2,
                {d.destination(written.items[0], Type::B32),
                 d.destination(written.items[1], Type::Pred), d.source(1, Type::B32)}));
}

void move_matrix(Decoder& d) {
  expect_sync(d);
  d.expect_flag("aligned");
  d.expect_flag("m8n8");
  d.expect_flag("trans");
  if (d.type() != Type::B16) return d.fail("movmatrix takes .b16");
  d.expect_operands(2, 2);
  d.emit(d.make(Kind::MoveMatrix, 1, {d.destination(0, Type::B32), d.source(1, Type::B32)}));
}

// mma.sync.aligned.shape.row.col.d.a.b.c
void multiply_matrix(Decoder& d) {
  expect_sync(d);
  d.expect_flag("aligned");
  MatrixShape shape;
  constexpr uint8_t kDepths[] = {4, 8, 16, 32};
  shape.k = kDepths[d.choice({"m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32"})];
  d.expect_flag("row");
  d.expect_flag("col");
  shape.saturate = d.flag("satfinite");
  const auto next = [&] {
    // s8 and u8 are types, too; the order is d, a, b, c.
    return d.type();
  };
  const Type to = next(), a = next(), b = next(), c = next();
  if (d.failed()) return;
  const bool is_half = a == Type::F16 || a == Type::BF16;
  const bool is_byte = a == Type::S8 || a == Type::U8;
  if (is_half && b == a && (shape.k == 8 || shape.k == 16)) {
    shape.a = shape.b = a == Type::F16 ? MatrixType::F16 : MatrixType::BF16;
    shape.half_accumulator = to == Type::F16;
    if (to != c || (to != Type::F32 && !(to == Type::F16 && a == Type::F16)))
      return d.fail("mma of f16 gives f32 or f16, of bf16 f32; C has the type of D");
    shape.a_registers = static_cast<uint8_t>(shape.k / 4);
    shape.b_registers = static_cast<uint8_t>(shape.k / 8);
    shape.c_registers = shape.half_accumulator ? 2 : 4;
  } else if (a == Type::TF32 && b == a && (shape.k == 4 || shape.k == 8) && to == Type::F32 &&
             c == Type::F32) {
    shape.a = shape.b = MatrixType::TF32;
    shape.a_registers = static_cast<uint8_t>(shape.k / 2);
    shape.b_registers = static_cast<uint8_t>(shape.k / 4);
  } else if (is_byte && (b == Type::S8 || b == Type::U8) && (shape.k == 16 || shape.k == 32) &&
             to == Type::S32 && c == Type::S32) {
    shape.a = a == Type::S8 ? MatrixType::S8 : MatrixType::U8;
    shape.b = b == Type::S8 ? MatrixType::S8 : MatrixType::U8;
    shape.integer = true;
    shape.a_registers = static_cast<uint8_t>(shape.k / 8);
    shape.b_registers = static_cast<uint8_t>(shape.k / 16);
  } else {
    return d.fail(fmt::format("{} is not supported", d.statement().name));
  }
  if (shape.saturate && !shape.integer) return d.fail("unknown modifier .satfinite of mma");
  d.expect_operands(4, 4);
  std::vector<uint32_t> written, read;
  const auto registers = [&](size_t index, size_t count, std::vector<uint32_t>& values, bool write,
                             Type type) {
    const auto elements = d.elements(index);
    if (elements.size() != count)
      return d.fail(fmt::format("operand {} of {} has {} registers, not {}", index + 1,
                                d.statement().name, count, elements.size()));
    for (const auto& element : elements)
      values.push_back(write ? d.destination(element, type) : d.source(element, type));
  };
  registers(0, shape.c_registers, written, true, Type::B32);
  registers(1, shape.a_registers, read, false, Type::B32);
  registers(2, shape.b_registers, read, false, Type::B32);
  registers(3, shape.c_registers, read, false, Type::B32);
  if (d.failed()) return;
  Instruction instruction = d.make(Kind::MultiplyMatrix, 0, {});
  d.add_list(instruction, written, read);
  instruction.detail = static_cast<uint32_t>(d.function().matrices.size());
  d.function().matrices.push_back(shape);
  d.emit(instruction);
}

}  // namespace

DecodeFunction find_warp(std::string_view opcode) {
  if (opcode == "shfl") return shuffle;
  if (opcode == "vote") return vote;
  if (opcode == "match") return match;
  if (opcode == "activemask") return active_mask;
  if (opcode == "redux") return warp_reduce;
  if (opcode == "elect") return elect;
  if (opcode == "movmatrix") return move_matrix;
  if (opcode == "mma") return multiply_matrix;
  return nullptr;
}

}  // namespace maskjit::emulator
