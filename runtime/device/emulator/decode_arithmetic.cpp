// Integer, floating-point, comparison and selection instructions.
#include <fmt/format.h>

#include "runtime/device/emulator/decoder.h"

namespace maskjit::emulator {
namespace {

using Type = ScalarType;

bool is_packed(Type type) {
  return type == Type::F16x2 || type == Type::BF16x2 || type == Type::U16x2 || type == Type::S16x2;
}

// .rn .rz .rm .rp, .ftz, .sat
Modes float_modes(Decoder& d, Type type) {
  Modes modes;
  modes.rounding = d.rounding();
  modes.flush = d.flag("ftz");
  modes.saturate = d.flag("sat");
  if (modes.flush && type == Type::F64) d.fail("f64 has no .ftz");
  return modes;
}

void binary(Decoder& d, AluOp op, Type type, const Modes& modes) {
  d.expect_operands(3, 3);
  d.emit_alu(op, type, type, modes, 1,
             {d.destination(0, type), d.source(1, type), d.source(2, type)});
}

void unary(Decoder& d, AluOp op, Type type, const Modes& modes) {
  d.expect_operands(2, 2);
  d.emit_alu(op, type, type, modes, 1, {d.destination(0, type), d.source(1, type)});
}

void ternary(Decoder& d, AluOp op, Type type, const Modes& modes) {
  d.expect_operands(4, 4);
  d.emit_alu(op, type, type, modes, 1,
             {d.destination(0, type), d.source(1, type), d.source(2, type), d.source(3, type)});
}

// add, addc, sub, subc
void add_or_sub(Decoder& d) {
  const bool is_add = d.base().starts_with("add");
  const bool carry_in = d.base().ends_with('c');
  const bool carry_out = d.flag("cc");
  const Type type = d.type();
  if (carry_in || carry_out) {
    Modes modes;
    modes.carry_in = carry_in;
    modes.carry_out = carry_out;
    return binary(d, is_add ? AluOp::AddCarry : AluOp::SubCarry, type, modes);
  }
  Modes modes;
  if (is_float(type)) {
    modes = float_modes(d, type);
  } else if ((modes.saturate = d.flag("sat")) && type != Type::S32) {
    d.fail("only s32 can be saturated");
  }
  binary(d, is_add ? AluOp::Add : AluOp::Sub, type, modes);
}

Type wide_of(Type type) {
  switch (type) {
    case Type::U16:
      return Type::U32;
    case Type::S16:
      return Type::S32;
    case Type::U32:
      return Type::U64;
    default:
      return Type::S64;
  }
}

void mul(Decoder& d) {
  const Type type = d.type();
  if (is_float(type)) return binary(d, AluOp::Mul, type, float_modes(d, type));
  const int part = d.choice({"lo", "hi", "wide"});
  if (part < 2) return binary(d, part == 0 ? AluOp::Mul : AluOp::MulHi, type, {});
  if (bytes_of(type) > 4) return d.fail("mul.wide takes 16 or 32 bits");
  d.expect_operands(3, 3);
  d.emit_alu(AluOp::MulWide, type, type, {}, 1,
             {d.destination(0, wide_of(type)), d.source(1, type), d.source(2, type)});
}

void mad(Decoder& d) {
  const bool carry_in = d.base() == "madc";
  const bool carry_out = d.flag("cc");
  const Type type = d.type();
  if (is_float(type)) {
    if (carry_in || carry_out) return d.fail("carries are for integers");
    return ternary(d, AluOp::Fma, type, float_modes(d, type));
  }
  const int part = d.choice({"lo", "hi", "wide"});
  Modes modes;
  if (carry_in || carry_out) {
    modes.carry_in = carry_in;
    modes.carry_out = carry_out;
    if (part == 2) return d.fail("mad.wide has no carry");
    return ternary(d, part == 0 ? AluOp::MadCarryLo : AluOp::MadCarryHi, type, modes);
  }
  modes.saturate = d.flag("sat");
  if (modes.saturate && (part != 1 || type != Type::S32))
    return d.fail("only mad.hi.s32 can be saturated");
  if (part < 2) return ternary(d, part == 0 ? AluOp::Mad : AluOp::MadHi, type, modes);
  if (bytes_of(type) > 4) return d.fail("mad.wide takes 16 or 32 bits");
  const Type wide = wide_of(type);
  d.expect_operands(4, 4);
  d.emit_alu(AluOp::MadWide, type, type, modes, 1,
             {d.destination(0, wide), d.source(1, type), d.source(2, type), d.source(3, wide)});
}

void fma(Decoder& d) {
  const Type type = d.type();
  Modes modes = float_modes(d, type);
  modes.relu = d.flag("relu");
  if (!is_float(type)) return d.fail("fma takes floating-point numbers");
  if (modes.relu && bytes_of(type) > 2 && !is_packed(type))
    return d.fail("fma.relu is for f16 and bf16");
  ternary(d, AluOp::Fma, type, modes);
}

void divide(Decoder& d) {
  const Type type = d.type();
  if (!is_float(type)) return binary(d, AluOp::Div, type, {});
  const bool approximate = d.flag("approx") || d.flag("full");
  bool rounded = false;
  Modes modes;
  modes.rounding = d.rounding(&rounded);
  modes.flush = d.flag("ftz");
  modes.approximate = approximate;
  if (approximate == rounded) return d.fail("div needs one of .approx .full .rn .rz .rm .rp");
  binary(d, AluOp::Div, type, modes);
}

void remainder(Decoder& d) {
  const Type type = d.type();
  if (is_float(type)) return d.fail("rem takes integers");
  binary(d, AluOp::Rem, type, {});
}

void abs_or_neg(Decoder& d) {
  const Type type = d.type();
  Modes modes;
  if (is_float(type)) modes.flush = d.flag("ftz");
  unary(d, d.base() == "abs" ? AluOp::Abs : AluOp::Neg, type, modes);
}

void min_or_max(Decoder& d) {
  const Type type = d.type();
  Modes modes;
  if (is_float(type)) {
    modes.flush = d.flag("ftz");
    modes.nan = d.flag("NaN");
    if ((modes.xor_sign = d.flag("xorsign"))) d.expect_flag("abs");
  } else {
    modes.relu = d.flag("relu");
  }
  binary(d, d.base() == "min" ? AluOp::Min : AluOp::Max, type, modes);
}

// rcp, sqrt, rsqrt
void root_or_reciprocal(Decoder& d) {
  const Type type = d.type();
  Modes modes;
  modes.approximate = d.flag("approx");
  bool rounded = false;
  modes.rounding = d.rounding(&rounded);
  modes.flush = d.flag("ftz");
  if (modes.approximate == rounded)
    return d.fail(fmt::format("{} needs .approx or a rounding", d.base()));
  if (d.base() == "rsqrt" && rounded) return d.fail("rsqrt is approximate");
  if (modes.approximate && type != Type::F32 && !(d.base() == "rsqrt" && type == Type::F64))
    return d.fail(fmt::format("{}.approx takes f32", d.base()));
  unary(d,
        d.base() == "rcp"    ? AluOp::Rcp
        : d.base() == "sqrt" ? AluOp::Sqrt
                             : AluOp::Rsqrt,
        type, modes);
}

// ex2, lg2, sin, cos, tanh
void transcendental(Decoder& d) {
  const Type type = d.type();
  Modes modes;
  d.expect_flag("approx");
  modes.approximate = true;
  modes.flush = d.flag("ftz");
  const std::string_view name = d.base();
  const AluOp op = name == "ex2"   ? AluOp::Ex2
                   : name == "lg2" ? AluOp::Lg2
                   : name == "sin" ? AluOp::Sin
                   : name == "cos" ? AluOp::Cos
                                   : AluOp::Tanh;
  if (type != Type::F32 && op != AluOp::Ex2 && op != AluOp::Tanh)
    return d.fail(fmt::format("{} takes f32", name));
  unary(d, op, type, modes);
}

// and, or, xor; not, cnot
void logic(Decoder& d) {
  const Type type = d.type();
  if (type != Type::Pred && type != Type::B16 && type != Type::B32 && type != Type::B64)
    return d.fail(fmt::format("{} takes .pred, .b16, .b32 or .b64", d.base()));
  if (d.base() == "not") return unary(d, AluOp::Not, type, {});
  if (d.base() == "cnot") {
    if (type == Type::Pred) return d.fail("cnot takes .b16, .b32 or .b64");
    return unary(d, AluOp::CNot, type, {});
  }
  binary(d, d.base() == "and" ? AluOp::And : d.base() == "or" ? AluOp::Or : AluOp::Xor, type, {});
}

void shift(Decoder& d) {
  const Type type = d.type();
  d.expect_operands(3, 3);
  d.emit_alu(d.base() == "shl" ? AluOp::Shl : AluOp::Shr, type, type, {}, 1,
             {d.destination(0, type), d.source(1, type), d.source(2, Type::U32)});
}

void funnel_shift(Decoder& d) {
  Modes modes;
  const bool left = d.choice({"l", "r"}) == 0;
  modes.wrap = d.choice({"clamp", "wrap"}) == 1;
  if (d.type() != Type::B32) return d.fail("shf takes .b32");
  ternary(d, left ? AluOp::FunnelLeft : AluOp::FunnelRight, Type::B32, modes);
}

void lop3(Decoder& d) {
  if (d.type() != Type::B32) return d.fail("lop3 takes .b32");
  d.expect_operands(5, 5);
  d.emit_alu(AluOp::Lop3, Type::B32, Type::B32, {}, 1,
             {d.destination(0, Type::B32), d.source(1, Type::B32), d.source(2, Type::B32),
              d.source(3, Type::B32)},
             static_cast<uint32_t>(d.immediate(4, 255)));
}

void permute(Decoder& d) {
  if (d.type() != Type::B32) return d.fail("prmt takes .b32");
  const int mode = d.choice({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"}, 6);
  d.expect_operands(4, 4);
  d.emit_alu(AluOp::Permute, Type::B32, Type::B32, {}, 1,
             {d.destination(0, Type::B32), d.source(1, Type::B32), d.source(2, Type::B32),
              d.source(3, Type::B32)},
             static_cast<uint32_t>(mode));
}

void bit_field(Decoder& d) {
  const Type type = d.type();
  if (d.base() == "bfe") {
    d.expect_operands(4, 4);
    return d.emit_alu(AluOp::BitFieldExtract, type, type, {}, 1,
                      {d.destination(0, type), d.source(1, type), d.source(2, Type::U32),
                       d.source(3, Type::U32)});
  }
  d.expect_operands(5, 5);
  d.emit_alu(AluOp::BitFieldInsert, type, type, {}, 1,
             {d.destination(0, type), d.source(1, type), d.source(2, type), d.source(3, Type::U32),
              d.source(4, Type::U32)});
}

// popc, clz, bfind: the result has 32 bits; brev
void bit_count(Decoder& d) {
  const Type type = d.type();
  if (d.base() == "brev") return unary(d, AluOp::ReverseBits, type, {});
  const bool shift_amount = d.base() == "bfind" && d.flag("shiftamt");
  const AluOp op = d.base() == "popc"  ? AluOp::CountOnes
                   : d.base() == "clz" ? AluOp::CountLeadingZeros
                                       : AluOp::FindLeadingOne;
  d.expect_operands(2, 2);
  d.emit_alu(op, type, type, {}, 1, {d.destination(0, Type::B32), d.source(1, type)},
             shift_amount ? 1 : 0);
}

void bit_mask(Decoder& d) {
  Modes modes;
  modes.wrap = d.choice({"clamp", "wrap"}) == 1;
  if (d.type() != Type::B32) return d.fail("bmsk takes .b32");
  binary(d, AluOp::BitMask, Type::B32, modes);
}

void sad(Decoder& d) {
  const Type type = d.type();
  ternary(d, AluOp::Sad, type, {});
}

void dot_product(Decoder& d) {
  const bool four = d.base() == "dp4a";
  const bool high = !four && d.choice({"lo", "hi"}) == 1;
  const Type a = d.type(), b = d.type();
  if (bytes_of(a) != 4 || bytes_of(b) != 4 || is_float(a) || is_float(b))
    return d.fail(fmt::format("{} takes .u32 and .s32", d.base()));
  const Type result = is_signed(a) || is_signed(b) ? Type::S32 : Type::U32;
  d.expect_operands(4, 4);
  d.emit_alu(four ? AluOp::DotProduct4 : AluOp::DotProduct2, a, b, {}, 1,
             {d.destination(0, result), d.source(1, a), d.source(2, b), d.source(3, result)},
             high ? 1 : 0);
}

// Comparisons -------------------------------------------------------------------------------------

Compare compare_of(Decoder& d, bool* unsigned_spelling) {
  constexpr Compare kCompares[] = {
      Compare::Eq,     Compare::Ne,  Compare::Lt,  Compare::Le,  Compare::Gt,  Compare::Ge,
      Compare::Equ,    Compare::Neu, Compare::Ltu, Compare::Leu, Compare::Gtu, Compare::Geu,
      Compare::Number, Compare::NaN, Compare::Lt,  Compare::Le,  Compare::Gt,  Compare::Ge};
  const int index = d.choice({"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu",
                              "geu", "num", "nan", "lo", "ls", "hi", "hs"});
  *unsigned_spelling = index >= 14;
  return kCompares[index];
}

Modes compare_modes(Decoder& d, Type* type) {
  Modes modes;
  bool unsigned_spelling = false;
  modes.compare = compare_of(d, &unsigned_spelling);
  const int combine = d.choice({"and", "or", "xor"}, 3);
  modes.combine = combine == 3 ? BoolOp::None : static_cast<BoolOp>(combine + 1);
  modes.flush = d.flag("ftz");
  *type = d.type();
  if (modes.flush && !is_float(*type)) d.fail(".ftz is for floating-point numbers");
  if (!is_float(*type)) {
    const bool ordered = modes.compare != Compare::Eq && modes.compare != Compare::Ne;
    if (modes.compare >= Compare::Equ) d.fail("integers have no unordered comparison");
    if (unsigned_spelling && is_signed(*type)) d.fail(".lo .ls .hi .hs are for unsigned integers");
    if (ordered && !unsigned_spelling &&
        (*type == Type::B16 || *type == Type::B32 || *type == Type::B64))
      d.fail("bits are equal or not, but not ordered");
  } else if (unsigned_spelling) {
    d.fail(".lo .ls .hi .hs are for unsigned integers");
  }
  return modes;
}

void set_predicate(Decoder& d) {
  Type type;
  Modes modes = compare_modes(d, &type);
  const bool combined = modes.combine != BoolOp::None;
  d.expect_operands(combined ? 4 : 3, combined ? 4 : 3);
  uint32_t first = kNone, second = kNone;
  const syntax::Operand& written = d.operand(0);
  if (written.kind == syntax::Operand::Kind::Pair) {
    first = d.destination(written.items[0], Type::Pred);
    second = d.destination(written.items[1], Type::Pred);
  } else {
    first = d.destination(written, Type::Pred);
  }
  const uint32_t other = combined ? d.predicate(3, &modes.negate_combined) : kNone;
  d.emit_alu(AluOp::SetPredicate, type, type, modes, 2,
             {first, second, d.source(1, type), d.source(2, type), other});
}

void set(Decoder& d) {
  const auto result = [&] { return d.type(); };
  Modes modes;
  bool unsigned_spelling = false;
  modes.compare = compare_of(d, &unsigned_spelling);
  const int combine = d.choice({"and", "or", "xor"}, 3);
  modes.combine = combine == 3 ? BoolOp::None : static_cast<BoolOp>(combine + 1);
  modes.flush = d.flag("ftz");
  const Type type = result();
  const Type source = d.type();
  if (type != Type::U32 && type != Type::S32 && type != Type::F32)
    return d.fail("set gives u32, s32 or f32");
  if (!is_float(source) && modes.compare >= Compare::Equ)
    return d.fail("integers have no unordered comparison");
  const bool combined = modes.combine != BoolOp::None;
  d.expect_operands(combined ? 4 : 3, combined ? 4 : 3);
  const uint32_t other = combined ? d.predicate(3, &modes.negate_combined) : kNone;
  d.emit_alu(AluOp::Set, source, type, modes, 1,
             {d.destination(0, type), d.source(1, source), d.source(2, source), other});
}

void select(Decoder& d) {
  const Type type = d.type();
  d.expect_operands(4, 4);
  d.emit_alu(
      AluOp::Select, type, type, {}, 1,
      {d.destination(0, type), d.source(1, type), d.source(2, type), d.source(3, Type::Pred)});
}

void select_by_sign(Decoder& d) {
  Modes modes;
  modes.flush = d.flag("ftz");
  const Type type = d.type(), by = d.type();
  if (by != Type::S32 && by != Type::F32) return d.fail("slct compares an s32 or f32 with 0");
  d.expect_operands(4, 4);
  d.emit_alu(AluOp::SelectBySign, type, by, modes, 1,
             {d.destination(0, type), d.source(1, type), d.source(2, type), d.source(3, by)});
}

void copy_sign(Decoder& d) { binary(d, AluOp::CopySign, d.type(), {}); }

void test_property(Decoder& d) {
  const int kind = d.choice({"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  const Type type = d.type();
  d.expect_operands(2, 2);
  d.emit_alu(AluOp::TestProperty, type, type, {}, 1,
             {d.destination(0, Type::Pred), d.source(1, type)}, static_cast<uint32_t>(kind));
}

}  // namespace

DecodeFunction find_arithmetic(std::string_view opcode) {
  static const std::unordered_map<std::string_view, DecodeFunction> kTable = {
      {"add", add_or_sub},
      {"addc", add_or_sub},
      {"sub", add_or_sub},
      {"subc", add_or_sub},
      {"mul", mul},
      {"mad", mad},
      {"madc", mad},
      {"fma", fma},
      {"div", divide},
      {"rem", remainder},
      {"abs", abs_or_neg},
      {"neg", abs_or_neg},
      {"min", min_or_max},
      {"max", min_or_max},
      {"rcp", root_or_reciprocal},
      {"sqrt", root_or_reciprocal},
      {"rsqrt", root_or_reciprocal},
      {"ex2", transcendental},
      {"lg2", transcendental},
      {"sin", transcendental},
      {"cos", transcendental},
      {"tanh", transcendental},
      {"and", logic},
      {"or", logic},
      {"xor", logic},
      {"not", logic},
      {"cnot", logic},
      {"shl", shift},
      {"shr", shift},
      {"shf", funnel_shift},
      {"lop3", lop3},
      {"prmt", permute},
      {"bfe", bit_field},
      {"bfi", bit_field},
      {"popc", bit_count},
      {"clz", bit_count},
      {"bfind", bit_count},
      {"brev", bit_count},
      {"bmsk", bit_mask},
      {"sad", sad},
      {"dp4a", dot_product},
      {"dp2a", dot_product},
      {"setp", set_predicate},
      {"set", set},
      {"selp", select},
      {"slct", select_by_sign},
      {"copysign", copy_sign},
      {"testp", test_property},
  };
  const auto found = kTable.find(opcode);
  return found == kTable.end() ? nullptr : found->second;
}

}  // namespace maskjit::emulator
