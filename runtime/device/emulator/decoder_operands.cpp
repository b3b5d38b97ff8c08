// What the families of decode_*.cpp read and make: modifiers, operands, instructions.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "runtime/device/emulator/alu.h"
#include "runtime/device/emulator/decoder.h"

namespace maskjit::emulator {
namespace {

using syntax::Operand;

struct SpecialName {
  std::string_view name;
  SpecialRegister special;
  ScalarType type;
};
constexpr SpecialName kSpecials[] = {
    {"%tid.x", SpecialRegister::TidX, ScalarType::B32},
    {"%tid.y", SpecialRegister::TidY, ScalarType::B32},
    {"%tid.z", SpecialRegister::TidZ, ScalarType::B32},
    {"%ntid.x", SpecialRegister::NtidX, ScalarType::B32},
    {"%ntid.y", SpecialRegister::NtidY, ScalarType::B32},
    {"%ntid.z", SpecialRegister::NtidZ, ScalarType::B32},
    {"%ctaid.x", SpecialRegister::CtaidX, ScalarType::B32},
    {"%ctaid.y", SpecialRegister::CtaidY, ScalarType::B32},
    {"%ctaid.z", SpecialRegister::CtaidZ, ScalarType::B32},
    {"%nctaid.x", SpecialRegister::NctaidX, ScalarType::B32},
    {"%nctaid.y", SpecialRegister::NctaidY, ScalarType::B32},
    {"%nctaid.z", SpecialRegister::NctaidZ, ScalarType::B32},
    {"%laneid", SpecialRegister::LaneId, ScalarType::B32},
    {"%warpid", SpecialRegister::WarpId, ScalarType::B32},
    {"%nwarpid", SpecialRegister::WarpCount, ScalarType::B32},
    {"%lanemask_eq", SpecialRegister::LaneMaskEq, ScalarType::B32},
    {"%lanemask_le", SpecialRegister::LaneMaskLe, ScalarType::B32},
    {"%lanemask_lt", SpecialRegister::LaneMaskLt, ScalarType::B32},
    {"%lanemask_ge", SpecialRegister::LaneMaskGe, ScalarType::B32},
    {"%lanemask_gt", SpecialRegister::LaneMaskGt, ScalarType::B32},
    {"%smid", SpecialRegister::Zero, ScalarType::B32},
    {"%nsmid", SpecialRegister::One, ScalarType::B32},
    {"%gridid", SpecialRegister::GridId, ScalarType::B64},
    {"%dynamic_smem_size", SpecialRegister::DynamicSharedBytes, ScalarType::B32},
    {"%total_smem_size", SpecialRegister::TotalSharedBytes, ScalarType::B32},
};

ScalarType register_type(ScalarType type) {
  switch (bytes_of(type)) {
    case 0:
      return ScalarType::Pred;
    case 1:
    case 2:
      return ScalarType::B16;
    case 4:
      return ScalarType::B32;
    case 8:
      return ScalarType::B64;
    default:
      return ScalarType::B128;
  }
}

}  // namespace

// Modifiers ---------------------------------------------------------------------------------------

bool Decoder::flag(std::string_view modifier) {
  for (size_t i = 0; i < modifiers_.size(); ++i) {
    if (!used_[i] && modifiers_[i] == modifier) {
      used_[i] = true;
      return true;
    }
  }
  return false;
}

void Decoder::expect_flag(std::string_view modifier) {
  if (!flag(modifier)) fail(fmt::format("{} needs .{}", base_, modifier));
}

int Decoder::choice(std::initializer_list<std::string_view> modifiers, int fallback) {
  int index = 0;
  for (const std::string_view modifier : modifiers) {
    if (flag(modifier)) return index;
    ++index;
  }
  if (fallback < 0) {
    fail(fmt::format("{} needs one of .{}", base_, fmt::join(modifiers, " .")));
    return 0;
  }
  return fallback;
}

std::optional<ScalarType> Decoder::type_if() {
  for (size_t i = 0; i < modifiers_.size(); ++i) {
    if (used_[i]) continue;
    if (const auto type = parse_scalar_type(modifiers_[i])) {
      used_[i] = true;
      return type;
    }
  }
  return std::nullopt;
}

ScalarType Decoder::type() {
  if (const auto type = type_if()) return *type;
  // The type may be spelled in a way that we do not know: say that rather than that it is missing.
  for (size_t i = 0; i < modifiers_.size(); ++i) {
    if (!used_[i]) {
      fail(fmt::format("unknown modifier .{} of {}", modifiers_[i], base_));
      return ScalarType::B32;
    }
  }
  fail(fmt::format("{} needs a type", base_));
  return ScalarType::B32;
}

Rounding Decoder::rounding(bool* present) {
  const int mode = choice({"rn", "rz", "rm", "rp"}, 4);
  if (present != nullptr) *present = mode != 4;
  constexpr Rounding kModes[] = {Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up,
                                 Rounding::Nearest};
  return kModes[mode];
}

// Values ------------------------------------------------------------------------------------------

uint32_t Decoder::add_value(Value value) {
  function_.values.push_back(value);
  return static_cast<uint32_t>(function_.values.size() - 1);
}

std::optional<uint32_t> Decoder::find_register(std::string_view name) {
  // "%r57" may be the 57th of %r<100>.
  size_t digits = name.size();
  while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9') --digits;
  uint64_t number = 0;
  bool numbered = digits < name.size() && name.size() - digits <= 7 &&
                  (name[digits] != '0' || name.size() - digits == 1);
  for (size_t i = digits; numbered && i < name.size(); ++i)
    number = number * 10 + static_cast<uint64_t>(name[i] - '0');
  for (uint32_t scope = scope_; scope != kNone; scope = scopes_[scope].parent) {
    Scope& names = scopes_[scope];
    if (const auto found = names.registers.find(name); found != names.registers.end())
      return found->second;
    if (!numbered) continue;
    const auto range = names.ranges.find(name.substr(0, digits));
    if (range == names.ranges.end() || number >= range->second.values.size()) continue;
    uint32_t& value = range->second.values[number];
    if (value == kNone) {
      Value fresh;
      fresh.type = range->second.type;
      fresh.name = name;
      value = add_value(fresh);
    }
    return value;
  }
  return std::nullopt;
}

std::optional<int32_t> Decoder::find_variable(std::string_view name) const {
  for (uint32_t scope = scope_; scope != kNone; scope = scopes_[scope].parent) {
    const auto& variables = scopes_[scope].variables;
    if (const auto found = variables.find(name); found != variables.end()) return found->second;
  }
  const auto found = names_.variables.find(name);
  if (found == names_.variables.end()) return std::nullopt;
  return static_cast<int32_t>(found->second);
}

const Variable& Decoder::variable_of(int32_t variable) const {
  return variable >= 0 ? module_variables_[static_cast<size_t>(variable)]
                       : function_.variables[static_cast<size_t>(~variable)];
}

uint32_t Decoder::address_of(int32_t variable, uint64_t addend, ScalarType width) {
  const auto [place, added] = addresses_.try_emplace({variable, addend, width}, 0);
  if (!added) return place->second;
  if (variable >= 0 && variable_of(variable).space == Space::Shared) {
    const auto index = static_cast<uint32_t>(variable);
    if (std::find(function_.shared.begin(), function_.shared.end(), index) ==
        function_.shared.end())
      function_.shared.push_back(index);
  }
  Value value;
  value.kind = Value::Kind::Address;
  value.type = width;
  value.variable = variable;
  value.bits = addend;
  return place->second = add_value(value);
}

uint32_t Decoder::constant(uint64_t bits, ScalarType type) {
  const ScalarType width = register_type(type);
  if (const int bytes = bytes_of(width); bytes > 0 && bytes < 8)
    bits &= (uint64_t{1} << (8 * bytes)) - 1;
  const auto [place, added] = constants_.try_emplace({bits, width}, 0);
  if (!added) return place->second;
  Value value;
  value.kind = Value::Kind::Constant;
  value.type = width;
  value.bits = bits;
  return place->second = add_value(value);
}

uint32_t Decoder::named(std::string_view name, int64_t offset) {
  if (const auto value = find_register(name)) {
    if (offset != 0) fail(fmt::format("an offset of the register {}", name));
    return *value;
  }
  for (const SpecialName& special : kSpecials) {
    if (special.name != name) continue;
    const auto [place, added] = specials_.try_emplace(special.special, 0);
    if (added) {
      Value value;
      value.kind = Value::Kind::Special;
      value.type = special.type;
      value.special = special.special;
      place->second = add_value(value);
    }
    return place->second;
  }
  if (const auto variable = find_variable(name))
    return address_of(*variable, static_cast<uint64_t>(offset));
  if (name == "WARP_SZ") return constant(kLanes, ScalarType::B32);
  if (name.starts_with('%')) {
    fail(fmt::format("{} is neither a declared register nor a known special register", name));
  } else {
    fail(fmt::format("unknown name {}", name));
  }
  return kNone;
}

bool Decoder::check_width(const Value& value, ScalarType type, Width width) {
  const ScalarType wanted = register_type(type);
  if (value.type == wanted) return true;
  if (width == Width::AtLeast && value.type != ScalarType::Pred && wanted != ScalarType::Pred &&
      bytes_of(value.type) > bytes_of(wanted))
    return true;
  fail(fmt::format("{} is {} bits wide, not {} as {} needs",
                   value.name.empty() ? std::string_view("the operand") : value.name,
                   value.type == ScalarType::Pred ? 1 : 8 * bytes_of(value.type),
                   wanted == ScalarType::Pred ? 1 : 8 * bytes_of(wanted), statement_->name));
  return false;
}

// Operands ----------------------------------------------------------------------------------------

void Decoder::expect_operands(size_t least, size_t most) {
  if (operand_count() >= least && operand_count() <= most) return;
  fail(least == most ? fmt::format("{} takes {} operands, not {}", base_, least, operand_count())
                     : fmt::format("{} takes {} to {} operands, not {}", base_, least, most,
                                   operand_count()));
}

const Operand& Decoder::operand(size_t index) const {
  static const Operand kMissing;
  return index < statement_->operands.size() ? statement_->operands[index] : kMissing;
}

uint32_t Decoder::source(size_t index, ScalarType type, Width width) {
  if (index >= operand_count()) {
    fail(fmt::format("operand {} of {} is missing", index + 1, base_));
    return kNone;
  }
  return source(statement_->operands[index], type, width);
}

uint32_t Decoder::source(const Operand& operand, ScalarType type, Width width) {
  if (failed()) return kNone;
  switch (operand.kind) {
    case Operand::Kind::Name: {
      if (operand.negated) {
        fail(fmt::format("!{} cannot stand here", operand.name));
        return kNone;
      }
      uint32_t value = named(operand.name, operand.offset);
      if (value == kNone) return kNone;
      // Offsets within a window also fit into 32 bits.
      if (const Value& found = function_.values[value];
          found.kind == Value::Kind::Address && bytes_of(type) == 4 &&
          variable_of(found.variable).space != Space::Global)
        value = address_of(found.variable, found.bits, ScalarType::B32);
      check_width(function_.values[value], type, width);
      return value;
    }
    case Operand::Kind::Integer:
      if (type == ScalarType::F32 || type == ScalarType::F64 || type == ScalarType::F16 ||
          type == ScalarType::BF16) {
        fail(fmt::format("an integer where {} needs a floating-point value", statement_->name));
        return kNone;
      }
      if (type == ScalarType::Pred) return constant(operand.value != 0 ? kAllLanes : 0, type);
      return constant(operand.value, type);
    case Operand::Kind::Float: {
      const int bytes = bytes_of(type);
      if ((bytes != 4 && bytes != 8) || (operand.is_f32 && bytes == 8 && type != ScalarType::F64) ||
          is_signed(type)) {
        fail(fmt::format("a floating-point constant cannot be a {}", name_of(type)));
        return kNone;
      }
      if (bytes == 4) {
        const uint32_t bits =
            operand.is_f32
                ? static_cast<uint32_t>(operand.value)
                : std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(operand.value)));
        return constant(bits, type);
      }
      if (operand.is_f32) {
        const double wide = std::bit_cast<float>(static_cast<uint32_t>(operand.value));
        return constant(std::bit_cast<uint64_t>(wide), type);
      }
      return constant(operand.value, type);
    }
    case Operand::Kind::Address:
    case Operand::Kind::Vector:
    case Operand::Kind::Group:
    case Operand::Kind::Pair:
    case Operand::Kind::Sink:
      break;
  }
  fail(fmt::format("{} needs a register or a constant here", base_));
  return kNone;
}

uint32_t Decoder::destination(size_t index, ScalarType type, Width width) {
  if (index >= operand_count()) {
    fail(fmt::format("operand {} of {} is missing", index + 1, base_));
    return kNone;
  }
  return destination(statement_->operands[index], type, width);
}

uint32_t Decoder::destination(const Operand& operand, ScalarType type, Width width) {
  if (failed()) return kNone;
  if (operand.kind == Operand::Kind::Sink) return kNone;
  if (operand.kind == Operand::Kind::Name && !operand.negated && operand.offset == 0) {
    if (const auto value = find_register(operand.name)) {
      check_width(function_.values[*value], type, width);
      return *value;
    }
    fail(fmt::format("{} is not a declared register", operand.name));
    return kNone;
  }
  fail(fmt::format("{} writes to a register", base_));
  return kNone;
}

uint32_t Decoder::predicate(size_t index, bool* negated) {
  Operand operand = this->operand(index);
  *negated = operand.negated;
  operand.negated = false;
  return source(operand, ScalarType::Pred);
}

bool Decoder::is_immediate(size_t index) const {
  return operand(index).kind == Operand::Kind::Integer;
}

bool Decoder::is_predicate(size_t index) {
  const Operand& operand = this->operand(index);
  if (operand.kind != Operand::Kind::Name) return false;
  const auto value = find_register(operand.name);
  return value && function_.values[*value].type == ScalarType::Pred;
}

uint64_t Decoder::immediate(size_t index, uint64_t limit) {
  const Operand& operand = this->operand(index);
  if (operand.kind != Operand::Kind::Integer) {
    fail(fmt::format("operand {} of {} is an integer constant", index + 1, base_));
    return 0;
  }
  if (operand.value > limit) {
    fail(fmt::format("operand {} of {} is at most {}", index + 1, base_, limit));
    return 0;
  }
  return operand.value;
}

void Decoder::address(size_t index, Instruction& instruction, int at, MemoryAccess& access) {
  const Operand& operand = this->operand(index);
  if (failed()) return;
  if (operand.kind != Operand::Kind::Address || operand.items.size() != 1) {
    fail(fmt::format("operand {} of {} is an address in brackets", index + 1, base_));
    return;
  }
  const Operand& base = operand.items[0];
  access.offset = operand.offset;
  uint32_t value = kNone;
  if (base.kind == Operand::Kind::Integer) {
    value = constant(0, ScalarType::B64);
  } else if (const auto found = find_register(base.name)) {
    value = *found;
  } else if (const auto variable = find_variable(base.name)) {
    const Space space = variable_of(*variable).space;
    if (access.space != space && access.space != Space::Generic) {
      fail(fmt::format("{} is not in the space of {}", base.name, statement_->name));
      return;
    }
    access.space = space;  // a generic access that names a variable: its space is known
    value = address_of(*variable, 0);
  } else {
    fail(fmt::format("unknown name {}", base.name));
    return;
  }
  const ScalarType width = function_.values[value].type;
  if (width != ScalarType::B64 && (width != ScalarType::B32 || access.space == Space::Generic ||
                                   access.space == Space::Global)) {
    fail(fmt::format("{} is not wide enough for an address", base.name));
    return;
  }
  access.address_is_64 = width == ScalarType::B64;
  instruction.operands[at] = value;
}

std::vector<Operand> Decoder::elements(size_t index) const {
  const Operand& operand = this->operand(index);
  if (operand.kind == Operand::Kind::Vector) return operand.items;
  return {operand};
}

ScalarType Decoder::width_of(uint32_t value) const {
  return value == kNone ? ScalarType::B32 : function_.values[value].type;
}

// Result ------------------------------------------------------------------------------------------

Instruction Decoder::make(Kind kind, int defs, std::initializer_list<uint32_t> operands) {
  Instruction instruction;
  instruction.kind = kind;
  instruction.defs = static_cast<uint8_t>(defs);
  instruction.arity = static_cast<uint8_t>(operands.size());
  std::copy(operands.begin(), operands.end(), instruction.operands);
  return instruction;
}

void Decoder::add_list(Instruction& instruction, const std::vector<uint32_t>& written,
                       const std::vector<uint32_t>& read) {
  instruction.list = static_cast<uint32_t>(function_.lists.size());
  instruction.list_defs = static_cast<uint16_t>(written.size());
  instruction.list_size = static_cast<uint16_t>(written.size() + read.size());
  function_.lists.insert(function_.lists.end(), written.begin(), written.end());
  function_.lists.insert(function_.lists.end(), read.begin(), read.end());
}

void Decoder::emit(Instruction instruction) {
  if (failed()) return;
  if (!statement_->guard.empty()) {
    const auto guard = find_register(statement_->guard);
    if (!guard || function_.values[*guard].type != ScalarType::Pred) {
      fail(fmt::format("{} is not a predicate register", statement_->guard));
      return;
    }
    instruction.guard = *guard;
    instruction.guard_negated = statement_->guard_negated;
  }
  function_.code.push_back(instruction);
  function_.lines.push_back({statement_->line, statement_->begin, statement_->end});
  function_.opcodes.push_back(statement_->name);
}

void Decoder::emit_alu(AluOp op, ScalarType type, ScalarType source_type, const Modes& modes,
                       int defs, std::initializer_list<uint32_t> operands, uint32_t immediate) {
  if (failed()) return;
  Instruction instruction = make(Kind::Alu, defs, operands);
  instruction.op = op;
  instruction.type = type;
  instruction.source_type = source_type;
  instruction.modes = modes;
  instruction.immediate = immediate;
  instruction.alu = find_alu(instruction);
  const bool may_drop = op == AluOp::SetPredicate || op == AluOp::Unpack;
  if (!may_drop && instruction.operands[0] == kNone)
    return fail(fmt::format("{} writes to a register", base_));
  if (instruction.alu == nullptr) {
    fail(fmt::format("{} is not supported for these types and modifiers", statement_->name));
    return;
  }
  emit(instruction);
}

void Decoder::fail(std::string message) {
  if (error_) return;
  std::string source;
  uint32_t line = 0;
  if (statement_ != nullptr) {
    line = statement_->line;
    source = std::string(
        text_.substr(statement_->begin, std::min(statement_->end - statement_->begin, 200u)));
    std::replace(source.begin(), source.end(), '\n', ' ');
    std::replace(source.begin(), source.end(), '\t', ' ');
  }
  error_ = ParseError{line, std::move(message), std::move(source)};
}

}  // namespace maskjit::emulator
