#include "runtime/device/emulator/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "runtime/device/emulator/alu.h"

namespace maskjit::emulator {
namespace {

using syntax::Operand;
using syntax::Statement;

constexpr uint32_t kMaxRegisters = 1u << 20;
constexpr uint64_t kMaxFrameBytes = uint64_t{512} << 10;

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

uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

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

// Declarations ------------------------------------------------------------------------------------

void Decoder::declare_frame_variable(const syntax::Variable& tree, bool is_thread_param,
                                     bool is_formal) {
  Variable variable;
  variable.name = std::string(tree.name);
  variable.space = tree.space;
  variable.type = tree.type;
  variable.bytes = tree.count * static_cast<uint64_t>(bytes_of(tree.type));
  variable.alignment = static_cast<uint32_t>(
      std::max<uint64_t>(tree.alignment, static_cast<uint64_t>(bytes_of(tree.type))));
  variable.is_thread_param = is_thread_param;
  const bool is_kernel_param = is_formal && !is_thread_param;
  uint64_t& end = is_kernel_param ? function_.param_bytes : function_.frame_bytes;
  variable.offset = round_up(end, variable.alignment);
  if (tree.is_unsized || variable.offset + variable.bytes > kMaxFrameBytes)
    return fail(fmt::format("{} is too large for the frame of {}", tree.name, function_.name));
  if (!tree.values.empty())
    return fail(
        fmt::format("{}: only .global and .const variables have initial values", tree.name));
  end = variable.offset + variable.bytes;
  const auto index = static_cast<int32_t>(function_.variables.size());
  function_.variables.push_back(std::move(variable));
  if (!scopes_[scope_].variables.try_emplace(tree.name, ~index).second)
    fail(fmt::format("{} is declared twice", tree.name));
}

void Decoder::declare_shared(const syntax::Variable& tree) {
  Variable variable;
  variable.name = std::string(tree.name);
  variable.space = Space::Shared;
  variable.type = tree.type;
  variable.bytes = tree.count * static_cast<uint64_t>(bytes_of(tree.type));
  variable.alignment = static_cast<uint32_t>(
      std::max<uint64_t>(tree.alignment, static_cast<uint64_t>(bytes_of(tree.type))));
  if (tree.is_unsized || !tree.values.empty())
    return fail(fmt::format("{} needs a size and no initial values", tree.name));
  const auto index = static_cast<int32_t>(module_variables_.size());
  module_variables_.push_back(std::move(variable));
  if (!scopes_[scope_].variables.try_emplace(tree.name, index).second)
    fail(fmt::format("{} is declared twice", tree.name));
}

void Decoder::declare(const Statement& statement) {
  for (const syntax::Registers& group : statement.registers) {
    Scope& scope = scopes_[scope_];
    if (group.type != ScalarType::Pred && bytes_of(group.type) < 2)
      return fail("there are no registers of 8 bits");
    if (bytes_of(group.type) > 8) return fail("registers of 128 bits are not supported");
    if ((register_count_ += std::max(group.count, 1u)) > kMaxRegisters)
      return fail("the function has more than a million registers");
    const ScalarType type = register_type(group.type);
    bool added = false;
    if (group.count > 0) {
      added = scope.ranges
                  .try_emplace(group.name, Range{type, std::vector<uint32_t>(group.count, kNone)})
                  .second;
    } else {
      Value value;
      value.type = type;
      value.name = group.name;
      added = scope.registers.try_emplace(group.name, add_value(value)).second;
    }
    if (!added) return fail(fmt::format("{} is declared twice", group.name));
  }
  for (const syntax::Variable& variable : statement.variables) {
    switch (variable.space) {
      case Space::Param:
        declare_frame_variable(variable, true, false);
        break;
      case Space::Local:
        declare_frame_variable(variable, false, false);
        break;
      case Space::Shared:
        declare_shared(variable);
        break;
      case Space::Global:
      case Space::Const:
      case Space::Generic:
        fail(fmt::format("{}: .global and .const variables belong outside of functions",
                         variable.name));
        break;
    }
  }
}

uint32_t Decoder::frame_variable(const Operand& operand) {
  if (operand.kind == Operand::Kind::Name) {
    const auto variable = find_variable(operand.name);
    if (variable && *variable < 0 && variable_of(*variable).space == Space::Param)
      return static_cast<uint32_t>(~*variable);
  }
  fail(fmt::format("{} passes .param variables", base_));
  return kNone;
}

// Jumps -------------------------------------------------------------------------------------------

void Decoder::jump_to(Instruction& instruction, const Operand& label) {
  if (label.kind != Operand::Kind::Name || label.negated || label.offset != 0)
    return fail(fmt::format("{} needs a label", base_));
  jumps_.push_back(
      {static_cast<uint32_t>(function_.code.size()), scope_, statement_->line, label.name, false});
  instruction.target = 0;
}

void Decoder::jump_table(Instruction& instruction, const Operand& label) {
  if (label.kind != Operand::Kind::Name || label.negated || label.offset != 0)
    return fail(fmt::format("{} needs a list of targets", base_));
  jumps_.push_back(
      {static_cast<uint32_t>(function_.code.size()), scope_, statement_->line, label.name, true});
  instruction.detail = static_cast<uint32_t>(function_.jump_tables.size());
  function_.jump_tables.emplace_back();
}

std::optional<uint32_t> Decoder::find_label(uint32_t scope, std::string_view name) const {
  for (; scope != kNone; scope = scopes_[scope].parent) {
    const auto found = scopes_[scope].labels.find(name);
    if (found != scopes_[scope].labels.end()) return found->second;
  }
  return std::nullopt;
}

bool Decoder::resolve_jumps() {
  const auto bad = [&](const Jump& jump, std::string message) {
    const SourceLine& where = function_.lines[jump.instruction];
    error_ = ParseError{jump.line, std::move(message),
                        std::string(text_.substr(where.begin, where.end - where.begin))};
    return false;
  };
  for (const Jump& jump : jumps_) {
    Instruction& instruction = function_.code[jump.instruction];
    if (!jump.is_table) {
      const auto target = find_label(jump.scope, jump.label);
      if (!target) return bad(jump, fmt::format("unknown label {}", jump.label));
      instruction.target = *target;
      continue;
    }
    const std::vector<std::string_view>* names = nullptr;
    for (uint32_t scope = jump.scope; scope != kNone && names == nullptr;
         scope = scopes_[scope].parent) {
      const auto found = scopes_[scope].targets.find(jump.label);
      if (found != scopes_[scope].targets.end()) names = &found->second;
    }
    if (names == nullptr) return bad(jump, fmt::format("unknown list of targets {}", jump.label));
    for (const std::string_view name : *names) {
      const auto target = find_label(jump.scope, name);
      if (!target) return bad(jump, fmt::format("unknown label {}", name));
      function_.jump_tables[instruction.detail].push_back(*target);
    }
  }
  return true;
}

// Statements --------------------------------------------------------------------------------------

void Decoder::decode(const Statement& statement) {
  modifiers_.clear();
  std::string_view rest = statement.name;
  size_t dot = rest.find('.');
  base_ = rest.substr(0, dot);
  while (dot != std::string_view::npos) {
    rest = rest.substr(dot + 1);
    dot = rest.find('.');
    modifiers_.push_back(rest.substr(0, dot));
  }
  used_.assign(modifiers_.size(), false);
  DecodeFunction decode = nullptr;
  for (const auto find :
       {find_arithmetic, find_memory, find_conversion, find_control, find_warp, find_async}) {
    if ((decode = find(base_)) != nullptr) break;
  }
  if (decode == nullptr) return fail(fmt::format("unknown instruction {}", statement.name));
  const size_t before = function_.code.size();
  decode(*this);
  for (size_t i = 0; i < used_.size() && !failed(); ++i) {
    if (!used_[i]) fail(fmt::format("unknown modifier .{} of {}", modifiers_[i], base_));
  }
  if (!failed() && function_.code.size() == before)
    fail(fmt::format("unknown instruction {}", statement.name));
}

std::optional<ParseError> Decoder::run(const syntax::Function& tree, std::string_view text) {
  text_ = text;
  is_entry_ = tree.is_entry;
  scopes_.emplace_back();
  Statement header;
  header.line = tree.line;
  header.name = tree.name;
  statement_ = &header;
  for (const auto* formals : {&tree.params, &tree.results}) {
    for (const syntax::Variable& variable : *formals) {
      (formals == &tree.params ? function_.params : function_.results)
          .push_back(static_cast<uint32_t>(function_.variables.size()));
      declare_frame_variable(variable, !tree.is_entry, true);
      if (error_) return error_;
    }
  }
  for (const Statement& statement : tree.body) {
    statement_ = &statement;
    switch (statement.kind) {
      case Statement::Kind::ScopeBegin:
        scopes_.emplace_back().parent = scope_;
        scope_ = static_cast<uint32_t>(scopes_.size() - 1);
        break;
      case Statement::Kind::ScopeEnd:
        scope_ = scopes_[scope_].parent;
        break;
      case Statement::Kind::Label:
        if (!scopes_[scope_]
                 .labels.try_emplace(statement.name, static_cast<uint32_t>(function_.code.size()))
                 .second)
          fail(fmt::format("the label {} is defined twice", statement.name));
        break;
      case Statement::Kind::JumpTargets:
        scopes_[scope_].targets[statement.name] = statement.targets;
        break;
      case Statement::Kind::Registers:
      case Statement::Kind::Variable:
        declare(statement);
        break;
      case Statement::Kind::Instruction:
        decode(statement);
        break;
    }
    if (error_) return error_;
  }
  // Control that reaches the end returns.
  Statement end;
  end.line = tree.body.empty() ? tree.line : tree.body.back().line;
  end.begin = end.end = tree.body.empty() ? 0 : tree.body.back().end;
  end.name = "ret";
  statement_ = &end;
  emit(make(Kind::Return, 0, {}));
  if (error_) return error_;
  if (!resolve_jumps()) return error_;
  function_.frame_bytes = round_up(function_.frame_bytes, 16);
  return std::nullopt;
}

}  // namespace maskjit::emulator
