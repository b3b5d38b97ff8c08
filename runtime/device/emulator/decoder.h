#pragma once
// Statements of a function -> Instructions. This header is private to the decode_*.cpp files, each
// of which holds one family of opcodes.
//
// Errors stick: the first one of a statement is kept and everything later is harmless, so that a
// family reads its modifiers and operands without looking for failures in between.
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>

#include "runtime/device/emulator/lexer.h"
#include "runtime/device/emulator/program.h"

namespace maskjit::emulator {

// Names that all functions of a module share.
struct ModuleNames {
  std::unordered_map<std::string_view, uint32_t> variables;
  std::unordered_map<std::string_view, uint32_t> functions;
  const std::vector<Variable>* module_variables = nullptr;
  const syntax::Module* syntax = nullptr;
};

// What a register's width must be, relative to the operand's type.
enum class Width : uint8_t { Exact, AtLeast };

class Decoder {
 public:
  Decoder(const ModuleNames& names, std::vector<Variable>& module_variables, Function& function)
      : names_(names), module_variables_(module_variables), function_(function) {}

  // Fills code, lists, values and variables of the function. Jumps are resolved.
  std::optional<ParseError> run(const syntax::Function& tree, std::string_view text);

  // The statement at hand: modifiers -----------------------------------------------------------
  bool flag(std::string_view modifier);  // present? takes it
  void expect_flag(std::string_view modifier);
  // The one that is present of several, by index; `fallback` if none is (-1: an error).
  int choice(std::initializer_list<std::string_view> modifiers, int fallback = -1);
  // The next modifier that is a type.
  ScalarType type();
  std::optional<ScalarType> type_if();
  Rounding rounding(bool* present = nullptr);  // .rn .rz .rm .rp
  // Operands -----------------------------------------------------------------------------------
  size_t operand_count() const { return statement_->operands.size(); }
  void expect_operands(size_t least, size_t most);
  const syntax::Operand& operand(size_t index) const;
  uint32_t source(size_t index, ScalarType type, Width width = Width::Exact);
  uint32_t source(const syntax::Operand& operand, ScalarType type, Width width = Width::Exact);
  uint32_t destination(size_t index, ScalarType type, Width width = Width::Exact);
  uint32_t destination(const syntax::Operand& operand, ScalarType type, Width width = Width::Exact);
  uint32_t predicate(size_t index, bool* negated);  // [!]p
  uint32_t constant(uint64_t bits, ScalarType type);
  // The value of an operand that must be an integer constant.
  uint64_t immediate(size_t index, uint64_t limit);
  bool is_immediate(size_t index) const;
  bool is_predicate(size_t index);
  // Address operand: the base goes into instruction.operands[at] (as a source), space and offset
  // into the access.
  void address(size_t index, Instruction& instruction, int at, MemoryAccess& access);
  std::vector<syntax::Operand> elements(size_t index) const;  // of {a, b}, or the operand alone
  ScalarType width_of(uint32_t value) const;                  // B16, B32, B64 or Pred
  // Result -------------------------------------------------------------------------------------
  // operands: destinations first.
  Instruction make(Kind kind, int defs, std::initializer_list<uint32_t> operands);
  void add_list(Instruction& instruction, const std::vector<uint32_t>& written,
                const std::vector<uint32_t>& read);
  void emit(Instruction instruction);
  // With the handler of (op, type, source_type, modes); an error if there is none.
  void emit_alu(AluOp op, ScalarType type, ScalarType source_type, const Modes& modes, int defs,
                std::initializer_list<uint32_t> operands, uint32_t immediate = 0);
  void fail(std::string message);
  bool failed() const { return error_.has_value(); }

  Function& function() { return function_; }
  const ModuleNames& names() const { return names_; }
  const syntax::Statement& statement() const { return *statement_; }
  void jump_to(Instruction& instruction, const syntax::Operand& label);
  void jump_table(Instruction& instruction, const syntax::Operand& label);
  uint32_t frame_variable(const syntax::Operand& operand);  // a .param of this scope
  std::string_view base() const { return base_; }

 private:
  struct Range {
    ScalarType type;
    std::vector<uint32_t> values;
  };
  struct Scope {
    uint32_t parent = kNone;
    std::unordered_map<std::string_view, uint32_t> registers;
    std::unordered_map<std::string_view, Range> ranges;
    std::unordered_map<std::string_view, int32_t> variables;  // as Value::variable
    std::unordered_map<std::string_view, uint32_t> labels;
    std::unordered_map<std::string_view, std::vector<std::string_view>> targets;
  };
  struct Jump {
    uint32_t instruction, scope, line;
    std::string_view label;
    bool is_table;
  };

  void declare(const syntax::Statement& statement);
  void declare_frame_variable(const syntax::Variable& variable, bool is_thread_param,
                              bool is_formal);
  void declare_shared(const syntax::Variable& variable);
  void decode(const syntax::Statement& statement);
  bool resolve_jumps();
  std::optional<uint32_t> find_label(uint32_t scope, std::string_view name) const;
  std::optional<uint32_t> find_register(std::string_view name);
  std::optional<int32_t> find_variable(std::string_view name) const;
  uint32_t named(std::string_view name, int64_t offset);  // register, special register, address
  uint32_t address_of(int32_t variable, uint64_t addend, ScalarType width = ScalarType::B64);
  uint32_t add_value(Value value);
  const Variable& variable_of(int32_t variable) const;
  bool check_width(const Value& value, ScalarType type, Width width);

  const ModuleNames& names_;
  std::vector<Variable>& module_variables_;  // .shared variables of functions are added
  Function& function_;
  std::string_view text_;
  std::vector<Scope> scopes_;
  uint32_t scope_ = 0;
  std::vector<Jump> jumps_;
  std::map<std::pair<uint64_t, ScalarType>, uint32_t> constants_;
  std::map<std::tuple<int32_t, uint64_t, ScalarType>, uint32_t> addresses_;
  std::map<SpecialRegister, uint32_t> specials_;
  uint32_t register_count_ = 0;
  bool is_entry_ = false;

  const syntax::Statement* statement_ = nullptr;
  std::string_view base_;
  std::vector<std::string_view> modifiers_;
  std::vector<bool> used_;
  std::optional<ParseError> error_;
};

using DecodeFunction = void (*)(Decoder&);
// One family each; null: no opcode of the family.
DecodeFunction find_arithmetic(std::string_view opcode);
DecodeFunction find_conversion(std::string_view opcode);
DecodeFunction find_memory(std::string_view opcode);
DecodeFunction find_async(std::string_view opcode);
DecodeFunction find_control(std::string_view opcode);
DecodeFunction find_warp(std::string_view opcode);

}  // namespace maskjit::emulator
