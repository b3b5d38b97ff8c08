// mov, cvt, cvta, isspacep.
#include <fmt/format.h>

#include "runtime/device/emulator/decoder.h"

namespace maskjit::emulator {
namespace {

using Type = ScalarType;
using Kind = syntax::Operand::Kind;

Type bits_type(int bytes) { return bytes == 2 ? Type::B16 : bytes == 4 ? Type::B32 : Type::B64; }

// mov.b64 d, {a, b}; mov.b32 {a, b}, d
void move_vector(Decoder& d, Type type, bool packs) {
  const auto elements = d.elements(packs ? 1 : 0);
  const int whole = bytes_of(type);
  const size_t count = elements.size();
  if ((count != 2 && count != 4) || whole / static_cast<int>(count) < 2 || whole > 8)
    return d.fail(
        fmt::format("{} cannot be {} parts of at least 16 bits", d.statement().name, count));
  const Type part = bits_type(whole / static_cast<int>(count));
  if (packs) {
    const uint32_t to = d.destination(0, type);
    if (count == 2)
      return d.emit_alu(AluOp::Pack, bits_type(whole), part, {}, 1,
                        {to, d.source(elements[0], part), d.source(elements[1], part)});
    return d.emit_alu(AluOp::Pack, bits_type(whole), part, {}, 1,
                      {to, d.source(elements[0], part), d.source(elements[1], part),
                       d.source(elements[2], part), d.source(elements[3], part)});
  }
  const uint32_t from = d.source(1, type);
  if (count == 2)
    return d.emit_alu(AluOp::Unpack, bits_type(whole), part, {}, 2,
                      {d.destination(elements[0], part), d.destination(elements[1], part), from});
  d.emit_alu(AluOp::Unpack, bits_type(whole), part, {}, 4,
             {d.destination(elements[0], part), d.destination(elements[1], part),
              d.destination(elements[2], part), d.destination(elements[3], part), from});
}

void move(Decoder& d) {
  const Type type = d.type();
  if (type == Type::B8 || type == Type::U8 || type == Type::S8 || type == Type::B128)
    return d.fail(fmt::format("mov.{} is not supported", name_of(type)));
  d.expect_operands(2, 2);
  if (d.operand(1).kind == Kind::Vector) return move_vector(d, type, true);
  if (d.operand(0).kind == Kind::Vector) return move_vector(d, type, false);
  const std::string_view name = d.operand(1).name;
  if (name == "%clock" || name == "%clock64" || name == "%clock_hi" || name == "%globaltimer" ||
      name == "%globaltimer_lo") {
    const bool wide = name == "%clock64" || name == "%globaltimer";
    if (bytes_of(type) != (wide ? 8 : 4)) return d.fail(fmt::format("{} does not fit", name));
    Instruction instruction = d.make(emulator::Kind::Clock, 1, {d.destination(0, type)});
    instruction.type = wide ? Type::B64 : Type::B32;
    instruction.immediate = name == "%clock_hi" ? 32 : 0;
    return d.emit(instruction);
  }
  const uint32_t to = d.destination(0, type);
  if (to == kNone) return d.fail("mov writes to a register");
  const Type moved = type == Type::Pred ? Type::Pred : bits_type(bytes_of(type));
  d.emit_alu(AluOp::Mov, moved, moved, {}, 1, {to, d.source(1, type)});
}

void convert(Decoder& d) {
  Modes modes;
  modes.flush = d.flag("ftz");
  modes.relu = d.flag("relu");
  const bool finite = d.flag("satfinite");
  modes.saturate = d.flag("sat");
  const int rounding = d.choice({"rn", "rz", "rm", "rp", "rna", "rni", "rzi", "rmi", "rpi"}, 9);
  constexpr Rounding kModes[] = {
      Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up, Rounding::NearestAway,
      Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up, Rounding::Zero};
  modes.rounding = kModes[rounding];
  modes.integral = rounding >= 5 && rounding < 9;
  modes.wrap = finite;
  const Type to = d.type(), from = d.type();
  if (to == Type::Pred || from == Type::Pred || to == Type::B8 || to == Type::B16 ||
      to == Type::B32 || to == Type::B64 || from == Type::B8 || from == Type::B16 ||
      from == Type::B64)
    return d.fail("cvt is between numbers; mov moves bits");
  if (to == Type::F16x2 || to == Type::BF16x2) {
    if (from != Type::F32 || (rounding != 0 && rounding != 1))
      return d.fail("packed conversions are cvt.rn or cvt.rz from f32");
    d.expect_operands(3, 3);
    return d.emit_alu(AluOp::ConvertPacked, to, from, modes, 1,
                      {d.destination(0, to), d.source(1, from), d.source(2, from)});
  }
  const bool from_float = is_float(from), to_float = is_float(to);
  if (from_float && !to_float && !modes.integral)
    return d.fail("a conversion to an integer needs .rni .rzi .rmi or .rpi");
  if (!from_float && to_float && rounding > 3)
    return d.fail("a conversion from an integer needs .rn .rz .rm or .rp");
  if (from_float && to_float) {
    const bool narrows =
        bytes_of(to) < bytes_of(from) || (to == Type::TF32) || (to != from && bytes_of(to) == 2);
    if (narrows && rounding > 4) return d.fail("a narrowing conversion needs a rounding like .rn");
    if (to == Type::TF32 && from != Type::F32) return d.fail("tf32 is made from f32");
    if (to != from && !narrows && rounding != 9)
      return d.fail("a widening conversion rounds nothing");
  }
  if (finite && to != Type::TF32 && bytes_of(to) != 2)
    return d.fail("unknown modifier .satfinite of cvt");
  d.expect_operands(2, 2);
  const uint32_t target = d.destination(0, to, Width::AtLeast);
  const uint32_t value = d.source(1, from, Width::AtLeast);
  // The handler reads and writes whole registers.
  const auto width = [&](uint32_t v) {
    const Type t = d.width_of(v);
    return static_cast<uint32_t>(bytes_of(t));
  };
  if (target == kNone) return d.fail("cvt writes to a register");
  d.emit_alu(AluOp::Convert, to, from, modes, 1, {target, value},
             width(target) << 8 | width(value));
}

uint64_t window_of(Decoder& d) {
  switch (d.choice({"global", "shared", "shared::cta", "shared::cluster", "local", "const", "param",
                    "param::entry"})) {
    case 0:
      return 0;
    case 4:
      return kLocalWindow;
    case 5:
      return 0;  // constant variables lie in global memory
    case 6:
    case 7:
      return kParamWindow;
    default:
      return kSharedWindow;
  }
}

// Generic addresses of a space are its offsets plus the start of its window.
void convert_address(Decoder& d) {
  const bool to_space = d.flag("to");
  const uint64_t window = window_of(d);
  const Type type = d.type();
  d.expect_operands(2, 2);
  if (type != Type::U64) return d.fail("addresses have 64 bits: cvta.u64");
  const uint32_t by = d.constant(to_space ? -window : window, Type::U64);
  d.emit_alu(AluOp::Add, Type::U64, Type::U64, {}, 1,
             {d.destination(0, type), d.source(1, type), by});
}

void is_space(Decoder& d) {
  const bool is_const = d.flag("const");
  const uint64_t window = is_const ? 0 : window_of(d);
  d.expect_operands(2, 2);
  if (is_const) return d.fail("isspacep.const is not supported");
  d.emit_alu(AluOp::IsSpace, Type::U64, Type::U64, {}, 1,
             {d.destination(0, Type::Pred), d.source(1, Type::U64)},
             static_cast<uint32_t>(window >> 56));
}

}  // namespace

DecodeFunction find_conversion(std::string_view opcode) {
  if (opcode == "mov") return move;
  if (opcode == "cvt") return convert;
  if (opcode == "cvta") return convert_address;
  if (opcode == "isspacep") return is_space;
  return nullptr;
}

}  // namespace maskjit::emulator
