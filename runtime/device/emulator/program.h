#pragma once
// A decoded module. Immutable; any number of launches may use it at once.
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/device/emulator/instruction.h"
#include "runtime/device/emulator/syntax.h"

namespace maskjit::emulator {

using syntax::Space;

// Address windows of the generic address space. Addresses of global memory are below all of them;
// addresses within shared, local and param space are offsets.
inline constexpr uint64_t kSharedWindow = uint64_t{1} << 56;
inline constexpr uint64_t kLocalWindow = uint64_t{2} << 56;
inline constexpr uint64_t kParamWindow = uint64_t{3} << 56;
inline constexpr uint64_t kWindowBytes = uint64_t{1} << 32;
// Within param space: parameters of kernels below, those of functions (each thread's own) above.
inline constexpr uint64_t kThreadParams = uint64_t{1} << 24;

// Where a variable lives. Offsets of Local and of a function's Param are within the frame of its
// function; shared variables are laid out for each kernel.
struct Variable {
  std::string name;
  Space space = Space::Global;
  ScalarType type = ScalarType::B8;
  uint32_t alignment = 1;
  uint64_t bytes = 0;
  uint64_t offset = 0;      // Local, Param
  bool is_dynamic = false;  // extern .shared
  bool is_thread_param = false;
  std::vector<std::byte> initial;  // Global, Const: empty or `bytes` long
  struct Relocation {
    uint64_t offset;
    uint32_t variable;  // of the module
    uint64_t addend;
    bool generic;
  };
  std::vector<Relocation> relocations;
};

enum class SpecialRegister : uint8_t {
  TidX,
  TidY,
  TidZ,
  NtidX,
  NtidY,
  NtidZ,
  CtaidX,
  CtaidY,
  CtaidZ,
  NctaidX,
  NctaidY,
  NctaidZ,
  Zero,
  One,
  LaneId,
  WarpId,
  WarpCount,
  LaneMaskEq,
  LaneMaskLe,
  LaneMaskLt,
  LaneMaskGe,
  LaneMaskGt,
  GridId,
  DynamicSharedBytes,
  TotalSharedBytes,
};

// What an operand can be.
struct Value {
  enum class Kind : uint8_t { Register, Constant, Address, Special };
  Kind kind = Kind::Register;
  ScalarType type = ScalarType::B32;  // its width in the register file
  uint32_t slot = kNone;
  uint32_t written_slot = kNone;  // mask of the lanes that wrote it, where that must be checked
  uint64_t bits = 0;              // Constant; Address: what is added
  int32_t variable = -1;          // Address: index into the module's variables, or ~index into the
                                  // function's
  SpecialRegister special = SpecialRegister::Zero;
  std::string_view name;  // Register
};

// Load, Store, Atomic, Reduce, LoadMatrix, StoreMatrix, Prefetch, CopyAsync and the mbarrier kinds:
// operands[...] hold the address.
struct MemoryAccess {
  Space space = Space::Generic;
  uint8_t element_bytes = 4;  // 1, 2, 4, 8, 16
  uint8_t count = 1;          // elements
  bool sign_extend = false;
  bool strong = false;  // volatile, relaxed, acquire, release, atomic
  bool acquire = false, release = false;
  bool address_is_64 = true;
  uint8_t register_bytes = 4;  // of each element's register
  bool transposed = false;     // ldmatrix, stmatrix
  bool no_increment = false;   // cp.async.mbarrier.arrive.noinc
  bool reads_only = false;     // .nc
  int64_t offset = 0;
};

enum class AtomicOp : uint8_t { And, Or, Xor, Exchange, Add, Inc, Dec, Min, Max, CompareSwap };
enum class BarrierOp : uint8_t { Sync, Arrive, And, Or, Popc };
enum class ShuffleMode : uint8_t { Up, Down, Butterfly, Index };
enum class VoteMode : uint8_t { All, Any, Uniform, Ballot };
// Where an instruction stands in the text.
struct SourceLine {
  uint32_t line = 0;
  uint32_t begin = 0, end = 0;
};

struct Function {
  std::string name;
  bool is_entry = false;
  std::optional<std::array<uint32_t, 3>> max_threads, required_threads;
  std::vector<Instruction> code;
  std::vector<SourceLine> lines;          // of each instruction
  std::vector<std::string_view> opcodes;  // of each instruction, with its modifiers
  std::vector<uint32_t> lists;
  std::vector<MemoryAccess> accesses;
  std::vector<MatrixShape> matrices;
  std::vector<std::vector<uint32_t>> jump_tables;
  std::vector<Value> values;
  std::vector<Variable> variables;  // of its frame: parameters, .local
  std::vector<uint32_t> params;     // indices into variables
  std::vector<uint32_t> results;
  std::vector<uint32_t> callees;  // functions of the module that it calls
  std::vector<uint32_t> shared;   // variables of the module in shared memory that it names
  struct CallSite {
    uint32_t callee;
    std::vector<uint32_t> arguments, results;  // indices into `variables`
  };
  std::vector<CallSite> calls;
  // By instruction: values whose written lanes are checked and noted.
  struct RegisterChecks {
    std::vector<uint32_t> reads, writes;
    uint32_t guard = kNone;
    bool copies = false;  // a mov or an unpacking: an unwritten source makes unwritten copies
    // A packing mov of so many sources: unwritten if none of them is written. Registers are tracked
    // whole, and compilers fill vectors lane by lane.
    int packs = 0;
    // A selp: only the source that a lane selects must be written, else that lane's copy is not.
    struct Selection {
      uint32_t predicate, if_true, if_false;  // values; sources that are not tracked are kNone
    };
    std::optional<Selection> selection;
  };
  std::unordered_map<uint32_t, RegisterChecks> register_checks;
  uint32_t written_begin = 0, written_end = 0;  // slots of the masks of written lanes
  uint64_t param_bytes = 0;                     // Kernels: size of the parameter buffer
  uint64_t frame_bytes = 0;                     // of each thread's local memory
  uint64_t register_bytes = 0;                  // of a warp's register file
  uint32_t shared_granule =
      16;  // bytes of the narrowest access that may be to shared memory, or 16
};

struct Program {
  std::string text;
  uint32_t version_major = 0, version_minor = 0;
  std::string target;
  std::vector<Variable> variables;
  std::vector<Function> functions;
  std::unordered_map<std::string_view, uint32_t> function_index;

  // The statement of an instruction, on one line.
  std::string statement(const Function& function, uint32_t pc) const;
};

}  // namespace maskjit::emulator
