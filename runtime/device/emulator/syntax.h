#pragma once
// The syntax tree of a PTX module: names are not resolved and opcodes not looked up. All views
// point into the module's text.
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "runtime/device/emulator/scalar_type.h"

namespace maskjit::emulator::syntax {

struct Operand {
  enum class Kind : uint8_t {
    Name,     // name [+ offset]: register, special register, variable, label, function
    Integer,  // value
    Float,    // value: bits of an f64, or of an f32 if is_f32
    Address,  // [items[0] + offset], items[0] a Name or an Integer; further items: coordinates
    Vector,   // {items}
    Group,    // (items), of a call
    Pair,     // items[0]|items[1]
    Sink,     // _
  };
  Kind kind = Kind::Sink;
  bool negated = false;  // !name
  bool is_f32 = false;
  std::string_view name;
  uint64_t value = 0;
  int64_t offset = 0;
  std::vector<Operand> items;
};

enum class Space : uint8_t { Generic, Global, Const, Shared, Local, Param };

struct Initializer {
  uint64_t value = 0;     // or, if a symbol is named, what is added to its address
  bool is_float = false;  // value: bits of an f64, or of an f32 if is_f32
  bool is_f32 = false;
  bool is_generic = false;  // generic(symbol)
  std::string_view symbol;
};

struct Variable {
  Space space = Space::Global;
  ScalarType type = ScalarType::B8;
  std::string_view name;
  uint64_t alignment = 0;  // 0: natural
  uint64_t count = 1;      // elements
  bool is_array = false;
  bool is_unsized = false;  // extern name[]
  bool is_extern = false;
  std::vector<Initializer> values;
  uint32_t line = 0;
};

struct Registers {
  ScalarType type = ScalarType::B32;
  std::string_view name;
  uint32_t count = 0;  // name0 .. name(count - 1); 0: the name itself
};

struct Statement {
  enum class Kind : uint8_t {
    Instruction,
    Label,
    Registers,
    Variable,
    JumpTargets,  // name: .branchtargets targets
    ScopeBegin,
    ScopeEnd,
  };
  Kind kind = Kind::Instruction;
  uint32_t line = 0;
  uint32_t begin = 0, end = 0;  // of its text
  std::string_view name;        // opcode with modifiers, or the label
  std::string_view guard;       // predicate register, empty: none
  bool guard_negated = false;
  std::vector<Operand> operands;
  std::vector<syntax::Registers> registers;
  std::vector<syntax::Variable> variables;
  std::vector<std::string_view> targets;
};

struct Function {
  std::string_view name;
  bool is_entry = false;
  bool has_body = false;
  std::vector<Variable> results, params;
  std::optional<std::array<uint32_t, 3>> max_threads, required_threads;
  std::vector<Statement> body;
  uint32_t line = 0;
};

struct Module {
  uint32_t version_major = 0, version_minor = 0;
  std::string_view target;
  std::vector<Variable> variables;
  std::vector<Function> functions;
};

}  // namespace maskjit::emulator::syntax
