// Loads, stores, atomics, matrix loads and stores, prefetches.
#include <fmt/format.h>

#include "runtime/device/emulator/decoder.h"

namespace maskjit::emulator {
namespace {

using Type = ScalarType;

Space space_of(Decoder& d) {
  switch (d.choice(
      {"global", "shared", "shared::cta", "local", "const", "param", "param::entry", "param::func"},
      8)) {
    case 0:
      return Space::Global;
    case 1:
    case 2:
      return Space::Shared;
    case 3:
      return Space::Local;
    case 4:
      return Space::Const;
    case 5:
    case 6:
    case 7:
      return Space::Param;
    default:
      return Space::Generic;
  }
}

// .cta .cluster .gpu .sys: one launch is one device here.
bool scope_of(Decoder& d) { return d.choice({"cta", "cluster", "gpu", "sys"}, 4) < 4; }

// Hints do not change what an access does. Returns whether a cache policy operand follows.
bool take_hints(Decoder& d) {
  d.choice({"L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last",
            "L1::no_allocate"},
           5);
  d.choice({"L2::evict_last", "L2::evict_normal", "L2::evict_first"}, 3);
  d.choice({"L2::64B", "L2::128B", "L2::256B"}, 3);
  return d.flag("L2::cache_hint");
}

void note_granule(Decoder& d, const MemoryAccess& access) {
  if (access.space != Space::Shared && access.space != Space::Generic) return;
  uint32_t& granule = d.function().shared_granule;
  // Rows of matrices have 16 bytes, whatever their number.
  const bool is_matrix = access.element_bytes == 16;
  granule = std::min<uint32_t>(granule, is_matrix ? 16 : access.element_bytes * access.count);
}

void emit_access(Decoder& d, Instruction instruction, const MemoryAccess& access) {
  if (d.failed()) return;
  note_granule(d, access);
  instruction.detail = static_cast<uint32_t>(d.function().accesses.size());
  d.function().accesses.push_back(access);
  d.emit(instruction);
}

void load_or_store(Decoder& d) {
  const bool is_load = d.base() == "ld";
  MemoryAccess access;
  const bool mmio = d.flag("mmio");
  const int order = is_load ? d.choice({"weak", "relaxed", "acquire", "volatile"}, 0)
                            : d.choice({"weak", "relaxed", "release", "volatile"}, 0);
  if (mmio && order != 1) return d.fail(".mmio needs .relaxed");
  access.strong = order > 0;
  access.acquire = is_load && order == 2;
  access.release = !is_load && order == 2;
  const bool scoped = scope_of(d);
  if (scoped != (order == 1 || order == 2))
    return d.fail("scopes belong to .relaxed, .acquire and .release");
  access.space = space_of(d);
  access.reads_only = is_load && d.flag("nc");
  if (access.reads_only && access.space != Space::Global) return d.fail(".nc is for .global");
  if (is_load) {
    d.choice({"ca", "cg", "cs", "lu", "cv"}, 5);
  } else {
    d.choice({"wb", "cg", "cs", "wt"}, 4);
    if (access.space == Space::Const) return d.fail("constant memory cannot be written");
  }
  const bool has_policy = take_hints(d);
  d.flag("unified");
  const int vector = d.choice({"v2", "v4", "v8"}, 3);
  access.count = vector == 3 ? 1 : static_cast<uint8_t>(2 << vector);
  const Type type = d.type();
  if (type == Type::Pred || type == Type::F16x2 || type == Type::BF16x2 || type == Type::TF32 ||
      type == Type::U16x2 || type == Type::S16x2 || type == Type::B128 || type == Type::F32x2)
    return d.fail(fmt::format("{}.{} is not supported", d.base(), name_of(type)));
  access.element_bytes = static_cast<uint8_t>(bytes_of(type));
  if (access.element_bytes * access.count > 32 ||
      (access.element_bytes * access.count > 16 && access.space != Space::Global))
    return d.fail("an access has at most 16 bytes, and 32 in .global");
  access.sign_extend = is_signed(type);
  const size_t hint = has_policy ? 1 : 0;
  d.expect_operands(2 + hint, 2 + hint);
  const auto elements = d.elements(is_load ? 0 : 1);
  if (elements.size() != access.count)
    return d.fail(fmt::format("{} has {} elements, not {}", d.statement().name, access.count,
                              elements.size()));
  std::vector<uint32_t> values;
  int width = 0;
  for (const auto& element : elements) {
    uint32_t value = kNone;
    if (is_load) {
      value = d.destination(element, type, Width::AtLeast);
    } else if (element.kind == syntax::Operand::Kind::Sink) {
      return d.fail("a store needs a value for every element");
    } else {
      value = d.source(element, type, Width::AtLeast);
    }
    if (value != kNone) {
      const int bytes = bytes_of(d.width_of(value));
      if (width != 0 && bytes != width)
        return d.fail("the elements have registers of different widths");
      width = bytes;
    }
    values.push_back(value);
  }
  access.register_bytes = static_cast<uint8_t>(width == 0 ? std::max(2, bytes_of(type)) : width);
  Instruction instruction = d.make(is_load ? Kind::Load : Kind::Store, 0, {kNone});
  instruction.type = type;
  d.address(is_load ? 1 : 0, instruction, 0, access);
  if (is_load) {
    d.add_list(instruction, values, {});
  } else {
    if (access.space == Space::Const) return d.fail("constant memory cannot be written");
    d.add_list(instruction, {}, values);
  }
  if (has_policy) d.source(2, Type::B64);
  emit_access(d, instruction, access);
}

void atomic(Decoder& d) {
  const bool returns = d.base() == "atom";
  MemoryAccess access;
  const int order = d.choice({"relaxed", "acquire", "release", "acq_rel"}, 0);
  access.strong = true;
  access.acquire = order == 1 || order == 3;
  access.release = order == 2 || order == 3;
  scope_of(d);
  access.space = space_of(d);
  if (access.space != Space::Global && access.space != Space::Shared &&
      access.space != Space::Generic)
    return d.fail("atomics are for .global and .shared");
  const auto op = static_cast<AtomicOp>(
      d.choice({"and", "or", "xor", "exch", "add", "inc", "dec", "min", "max", "cas"}));
  const bool no_flush = d.flag("noftz");
  const bool has_policy = d.flag("L2::cache_hint");
  const Type type = d.type();
  if ((bytes_of(type) < 4 && !is_float(type) && op != AtomicOp::CompareSwap) ||
      bytes_of(type) < 2 || bytes_of(type) > 8 || type == Type::TF32)
    return d.fail(fmt::format("{} is not supported", d.statement().name));
  const bool bits = type == Type::B32 || type == Type::B64 || type == Type::B16;
  const bool bitwise = op == AtomicOp::And || op == AtomicOp::Or || op == AtomicOp::Xor ||
                       op == AtomicOp::Exchange || op == AtomicOp::CompareSwap;
  const bool half = bytes_of(type) == 2 || type == Type::F16x2 || type == Type::BF16x2;
  if (bits != bitwise || ((op == AtomicOp::Inc || op == AtomicOp::Dec) && type != Type::U32) ||
      ((op == AtomicOp::Min || op == AtomicOp::Max) && is_float(type) && !half) ||
      (is_float(type) && half && !no_flush) ||
      (!returns && (op == AtomicOp::Exchange || op == AtomicOp::CompareSwap)))
    return d.fail(fmt::format("{} is not a combination that exists", d.statement().name));
  access.element_bytes = access.register_bytes = static_cast<uint8_t>(bytes_of(type));
  const size_t values = op == AtomicOp::CompareSwap ? 2 : 1;
  const size_t total = (returns ? 1u : 0u) + 1 + values + (has_policy ? 1u : 0u);
  d.expect_operands(total, total);
  const size_t at = returns ? 1 : 0;
  Instruction instruction =
      d.make(returns ? Kind::Atomic : Kind::Reduce, returns ? 1 : 0, {kNone, kNone, kNone, kNone});
  // [result,] address, value [, value]
  int next = 0;
  if (returns) instruction.operands[next++] = d.destination(0, type);
  d.address(at, instruction, next++, access);
  instruction.operands[next++] = d.source(at + 1, type);
  if (values == 2) instruction.operands[next++] = d.source(at + 2, type);
  instruction.arity = static_cast<uint8_t>(next);
  instruction.type = type;
  instruction.immediate = static_cast<uint32_t>(op);
  emit_access(d, instruction, access);
}

// ldmatrix, stmatrix
void matrix_access(Decoder& d) {
  const bool is_load = d.base() == "ldmatrix";
  d.expect_flag("sync");
  d.expect_flag("aligned");
  d.expect_flag("m8n8");
  MemoryAccess access;
  access.count = static_cast<uint8_t>(1 << d.choice({"x1", "x2", "x4"}));
  access.transposed = d.flag("trans");
  access.space = space_of(d);
  if (access.space != Space::Shared && access.space != Space::Generic)
    return d.fail(fmt::format("{} is for shared memory", d.base()));
  if (d.type() != Type::B16) return d.fail(fmt::format("{} takes .b16", d.base()));
  access.element_bytes = 16;  // a row
  access.register_bytes = 4;
  d.expect_operands(2, 2);
  const auto elements = d.elements(is_load ? 0 : 1);
  if (elements.size() != access.count)
    return d.fail(fmt::format("{} has {} registers, not {}", d.statement().name, access.count,
                              elements.size()));
  std::vector<uint32_t> values;
  for (const auto& element : elements)
    values.push_back(is_load ? d.destination(element, Type::B32) : d.source(element, Type::B32));
  Instruction instruction = d.make(is_load ? Kind::LoadMatrix : Kind::StoreMatrix, 0, {kNone});
  d.address(is_load ? 1 : 0, instruction, 0, access);
  d.add_list(instruction, is_load ? values : std::vector<uint32_t>{},
             is_load ? std::vector<uint32_t>{} : values);
  emit_access(d, instruction, access);
}

void prefetch(Decoder& d) {
  MemoryAccess access;
  access.space = space_of(d);
  if (d.base() == "prefetchu") {
    d.expect_flag("L1");
  } else {
    d.choice({"L1", "L2", "L2::evict_last", "L2::evict_normal"});
  }
  d.expect_operands(1, 1);
  Instruction instruction = d.make(Kind::Prefetch, 0, {kNone});
  d.address(0, instruction, 0, access);
  d.emit(instruction);
}

// A cache policy changes nothing here.
void create_policy(Decoder& d) {
  d.expect_flag("fractional");
  d.choice({"L2::evict_last", "L2::evict_normal", "L2::evict_first", "L2::evict_unchanged"});
  d.choice({"L2::evict_first", "L2::evict_unchanged"}, 2);
  if (d.type() != Type::B64) return d.fail("createpolicy gives .b64");
  d.expect_operands(1, 2);
  if (d.operand_count() == 2) d.source(1, Type::F32);
  d.emit_alu(AluOp::Mov, Type::B64, Type::B64, {}, 1,
             {d.destination(0, Type::B64), d.constant(0, Type::B64)});
}

}  // namespace

DecodeFunction find_memory(std::string_view opcode) {
  if (opcode == "ld" || opcode == "st") return load_or_store;
  if (opcode == "atom" || opcode == "red") return atomic;
  if (opcode == "ldmatrix" || opcode == "stmatrix") return matrix_access;
  if (opcode == "prefetch" || opcode == "prefetchu") return prefetch;
  if (opcode == "createpolicy") return create_policy;
  return nullptr;
}

}  // namespace maskjit::emulator
