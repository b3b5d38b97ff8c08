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
